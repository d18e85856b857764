//! Small files written whole: either the old bytes or the new ones are there after a power cut, never a mixture.

use std::fs::File;
use std::io::{ErrorKind as IoKind, Write};
use std::path::Path;

use netstats_event::Timestamp;

use crate::platform::{rename, sync_folder};
use crate::{Error, ErrorKind};

/// Writes `bytes` to `path` by way of a temporary file: synced, renamed, and the folder synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let write = || {
        write_synced(&temporary, bytes)?;
        rename(&temporary, path)?;
        path.parent().map_or(Ok(()), sync_folder)
    };
    write().map_err(|error: std::io::Error| {
        let message = format!("{} cannot be written: {error}", path.display());
        Error::new(ErrorKind::Unavailable, message).in_file(path).because(error)
    })
}

/// Writes a file and makes its bytes durable; its name is not yet.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The whole file; none if it is not there. Nothing of ours that is read this way is over `at_most` bytes.
pub(crate) fn read(path: &Path, at_most: u64) -> Result<Option<Vec<u8>>, Error> {
    let unreadable = |error: std::io::Error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Error::new(ErrorKind::Unavailable, message).in_file(path).because(error)
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(metadata) if metadata.len() > at_most => {
            let message = format!("{} holds {} bytes, at most {at_most} belong in it", path.display(), metadata.len());
            return Err(Error::new(ErrorKind::Corrupt, message).in_file(path));
        }
        Ok(_) => {}
    }
    std::fs::read(path).map(Some).map_err(unreadable)
}

/// Lines of `key value`, ended by their own checksum: readable by people, and by us only if whole.
pub(crate) fn seal_text(text: &str) -> String {
    format!("{text}crc32c {:08x}\n", crc32c::crc32c(text.as_bytes()))
}

/// The lines of a sealed text as keys and values, without the checksum; none if it is damaged.
pub(crate) fn open_text(bytes: &[u8]) -> Option<Vec<(&str, &str)>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let lines = &text[..text.strip_suffix('\n')?.rfind('\n')? + 1];
    (seal_text(lines) == text).then_some(())?;
    lines.lines().map(|line| line.split_once(' ')).collect()
}

/// A moment as people write it (RFC 3339, UTC): for messages and for files that people read.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    // Days to a civil date: Howard Hinnant's algorithm, in eras of 400 years that begin on 1 March.
    let (days, second) = (at.as_secs().div_euclid(86_400), at.as_secs().rem_euclid(86_400));
    let (era, day) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + i64::from(month <= 2);
    let (hour, minute, second, milli) =
        (second / 3_600, second / 60 % 60, second % 60, at.as_millis().rem_euclid(1_000));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        let at = |millis| rfc3339(Timestamp::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_795_564_799_999), "2026-11-24T23:59:59.999Z");
        assert_eq!(at(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_damaged_text_does_not_open() {
        let sealed = seal_text("one 1\ntwo 2 and more\n");
        assert_eq!(open_text(sealed.as_bytes()), Some(vec![("one", "1"), ("two", "2 and more")]));
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_text(&damaged), None, "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(open_text(&sealed.as_bytes()[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_file_over_its_bound_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(read(&path, 10).unwrap().is_none());
        replace(&path, b"0123456789").unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(read(&path, 9).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
