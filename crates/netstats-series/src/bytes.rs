//! Whole numbers to bytes and back: LEB128, signed ones in zigzag. Rows are made of them.

use netstats_projector::{Error, ErrorKind};

pub(crate) fn put(out: &mut Vec<u8>, number: u64) {
    put_wide(out, u128::from(number));
}

pub(crate) fn put_wide(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, zigzag(number));
}

/// 0 for none, the number plus one otherwise.
pub(crate) fn put_option(out: &mut Vec<u8>, number: Option<u32>) {
    put(out, number.map_or(0, |number| u64::from(number) + 1));
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

pub(crate) const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Reads what the functions above wrote.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

/// A row of this view that cannot be read.
pub(crate) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a row of the series view is damaged ({what}): rebuild the views"))
}

impl<'a> Reader<'a> {
    pub(crate) fn wide(&mut self) -> Result<u128, Error> {
        // Most numbers are small.
        if let [only @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u128::from(*only));
        }
        let mut number = 0_u128;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            if part.checked_shl(shift).is_none_or(|moved| moved >> shift != part) {
                return Err(damaged("a number is too large"));
            }
            number |= part << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(damaged("a number does not end"))
    }

    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        u64::try_from(self.wide()?).map_err(|_| damaged("a number is too large"))
    }

    pub(crate) fn small(&mut self) -> Result<u32, Error> {
        u32::try_from(self.wide()?).map_err(|_| damaged("a number is too large"))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Error> {
        self.number().map(unzigzag)
    }

    pub(crate) fn option(&mut self) -> Result<Option<u32>, Error> {
        match self.number()? {
            0 => Ok(None),
            more => u32::try_from(more - 1).map(Some).map_err(|_| damaged("a number is too large")),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (front, rest) = self.0.split_at_checked(n).ok_or_else(|| damaged("it is cut off"))?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn count(&mut self, most: usize) -> Result<usize, Error> {
        usize::try_from(self.number()?).ok().filter(|n| *n <= most).ok_or_else(|| damaged("a count is too large"))
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let n = self.count(self.0.len())?;
        String::from_utf8(self.take(n)?.to_vec()).map_err(|_| damaged("a text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(a: u64, b: i64, c: u128, d: Option<u32>, e: String) {
            let mut out = Vec::new();
            put(&mut out, a);
            put_signed(&mut out, b);
            put_wide(&mut out, c);
            put_option(&mut out, d);
            put_text(&mut out, &e);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.number().unwrap(), a);
            prop_assert_eq!(reader.signed().unwrap(), b);
            prop_assert_eq!(reader.wide().unwrap(), c);
            prop_assert_eq!(reader.option().unwrap(), d);
            prop_assert_eq!(reader.text().unwrap(), e);
            prop_assert!(reader.0.is_empty());
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert!(Reader(&[0x80]).number().is_err());
        assert!(Reader(&[0xff; 30]).wide().is_err());
        assert!(Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).number().is_err());
        assert!(Reader(&[5, b'a']).text().is_err());
    }
}
