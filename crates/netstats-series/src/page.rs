//! Pages of the index: where the outcomes of one stream are in the log, and for which slots.
//!
//! A page holds up to [`PAGE_ENTRIES`] outcomes in the order of the log. With a steady interval and other streams
//! taking their turns, the distance of positions and of slots changes little from one outcome to the next: an entry is
//! the change of both distances, most often in one byte.

use std::ops::Range;

use netstats_projector::Error;

use crate::bytes::{self, Reader, damaged};
use crate::limits::PAGE_ENTRIES;

/// One outcome: slot in milliseconds since 1970, and position.
pub(crate) type Entry = (i64, u64);

/// The slots of a page, first and last by time, and where it begins in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// The position of its first outcome: what a page holds was recorded from there up to the next page's.
    pub(crate) position: u64,
}

/// The spans of a stream's closed pages, in the order of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closed {
    spans: Vec<Span>,
    /// Some page begins or ends at an earlier slot than the one before it: the clock was put back.
    is_mixed: bool,
}

impl Closed {
    pub(crate) fn push(&mut self, span: Span) {
        self.is_mixed |= self.spans.last().is_some_and(|last| span.first < last.first || span.last < last.last);
        self.spans.push(span);
    }

    /// The spans, with their numbers, without those of which it is plain that they do not touch the slots: it costs
    /// what is there, however long the history is.
    pub(crate) fn near(&self, slots: &Range<i64>) -> impl Iterator<Item = (usize, &Span)> {
        let all = 0..self.spans.len();
        let near = if self.is_mixed {
            all
        } else {
            let first = self.spans.partition_point(|span| span.last < slots.start);
            first..first + self.spans[first..].partition_point(|span| span.first < slots.end)
        };
        near.clone().zip(&self.spans[near])
    }
}

impl std::ops::Deref for Closed {
    type Target = [Span];

    fn deref(&self) -> &[Span] {
        &self.spans
    }
}

/// The page that is being filled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The entries' bytes, as they are stored.
    bytes: Vec<u8>,
    entries: u16,
    span: Option<Span>,
    before: Entry,
    step: (i64, u64),
}

impl Page {
    pub(crate) const EMPTY: Self = Self { bytes: Vec::new(), entries: 0, span: None, before: (0, 0), step: (0, 0) };

    pub(crate) const fn is_full(&self) -> bool {
        self.entries as usize >= PAGE_ENTRIES
    }

    pub(crate) const fn span(&self) -> Option<Span> {
        self.span
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn push(&mut self, (slot, position): Entry) {
        // Wrapping: any order and any distance come back as they were.
        let step = (slot.wrapping_sub(self.before.0), position.wrapping_sub(self.before.1));
        let slot_turn = step.0.wrapping_sub(self.step.0);
        let position_turn = step.1.wrapping_sub(self.step.1).cast_signed();
        // The lowest bit says whether the slot's distance changed at all.
        let turn = u128::from(bytes::zigzag(position_turn));
        bytes::put_wide(&mut self.bytes, turn << 1 | u128::from(slot_turn != 0));
        if slot_turn != 0 {
            bytes::put_signed(&mut self.bytes, slot_turn);
        }
        self.before = (slot, position);
        self.step = step;
        self.entries += 1;
        let span = self.span.unwrap_or(Span { first: slot, last: slot, position });
        self.span = Some(Span { first: span.first.min(slot), last: span.last.max(slot), ..span });
    }

    /// The page as a row.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put(out, u64::from(self.entries));
        out.extend_from_slice(&self.bytes);
    }

    /// Reads a page from the front of `reader`, to go on filling it.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut page = Self::default();
        for entry in read(reader)? {
            page.push(entry);
        }
        Ok(page)
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut row = Vec::new();
        self.encode(&mut row);
        read(&mut Reader(&row)).unwrap_or_default()
    }
}

/// The entries of a page's row, in the order of the log.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Vec<Entry>, Error> {
    let entries = reader.count(PAGE_ENTRIES)?;
    let mut result = Vec::with_capacity(entries);
    let (mut at, mut step): (Entry, (i64, u64)) = ((0, 0), (0, 0));
    for _ in 0..entries {
        let token = reader.wide()?;
        let turn = u64::try_from(token >> 1).map_err(|_| damaged("a page's step"))?;
        if token & 1 == 1 {
            step.0 = step.0.wrapping_add(reader.signed()?);
        }
        step.1 = step.1.wrapping_add(bytes::unzigzag(turn).cast_unsigned());
        at = (at.0.wrapping_add(step.0), at.1.wrapping_add(step.1));
        result.push(at);
    }
    Ok(result)
}

/// The slots of closed pages, as a row of the directory.
pub(crate) fn encode_spans(spans: &[Span]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes::put(&mut out, spans.len() as u64);
    let (mut before, mut position) = (0_i64, 0_u64);
    for span in spans {
        bytes::put_signed(&mut out, span.first.wrapping_sub(before));
        bytes::put(&mut out, span.last.wrapping_sub(span.first).cast_unsigned());
        bytes::put(&mut out, span.position.wrapping_sub(position));
        (before, position) = (span.last, span.position);
    }
    out
}

/// Reads a row of the directory.
pub(crate) fn decode_spans(row: &[u8], most: usize) -> Result<Vec<Span>, Error> {
    let mut reader = Reader(row);
    let (mut before, mut position) = (0_i64, 0_u64);
    (0..reader.count(most)?)
        .map(|_| {
            let first = before.wrapping_add(reader.signed()?);
            before = first.wrapping_add(reader.number()?.cast_signed());
            position = position.wrapping_add(reader.number()?);
            Ok(Span { first, last: before, position })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_comes_back(entries in vec((any::<i64>(), any::<u64>()), 0..PAGE_ENTRIES)) {
            let mut page = Page::default();
            entries.iter().for_each(|entry| page.push(*entry));
            prop_assert_eq!(&page.entries(), &entries);
            let mut row = Vec::new();
            page.encode(&mut row);
            let mut again = Page::decode(&mut Reader(&row)).unwrap();
            prop_assert_eq!(&again, &page);
            again.push((7, 9));
            page.push((7, 9));
            prop_assert_eq!(again, page);
        }

        #[test]
        fn spans_come_back(ends in vec((any::<i64>(), any::<i64>(), any::<u64>()), 0..DIRECTORY)) {
            let span = |(a, b, position): &(i64, i64, u64)| Span { first: *a.min(b), last: *a.max(b), position: *position };
            let spans: Vec<Span> = ends.iter().map(span).collect();
            prop_assert_eq!(decode_spans(&encode_spans(&spans), DIRECTORY).unwrap(), spans);
        }

        #[test]
        fn all_spans_that_touch_a_range_are_near_it(
            ends in vec((0_i64..100, 0_i64..20), 0..40), sorted: bool, from in -5_i64..125, length in 0_i64..60,
        ) {
            let mut ends = ends;
            if sorted {
                ends.sort_unstable();
                ends.iter_mut().for_each(|(_, length)| *length = 5);
            }
            let mut closed = Closed::default();
            for (first, length) in ends {
                closed.push(Span { first, last: first + length, position: 0 });
            }
            let slots = from..from + length;
            let touches = |span: &Span| span.first < slots.end && span.last >= slots.start;
            let near: Vec<usize> = closed.near(&slots).filter(|(_, span)| touches(span)).map(|(i, _)| i).collect();
            let all = closed.iter().enumerate().filter(|(_, span)| touches(span)).map(|(i, _)| i);
            prop_assert_eq!(near, all.collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_a_page_or_refused(row in vec(any::<u8>(), 0..200)) {
            let _ = read(&mut Reader(&row));
            let _ = decode_spans(&row, DIRECTORY);
        }
    }

    const DIRECTORY: usize = crate::limits::DIRECTORY_CHUNK;

    #[test]
    fn a_steady_stream_takes_about_a_byte_for_each_outcome() {
        let mut page = Page::default();
        for i in 0..PAGE_ENTRIES as i64 {
            page.push((1_790_000_000_000 + i * 60_000, (1_000_000 + i * 100 + (i * i) % 7).cast_unsigned()));
        }
        assert!(page.is_full());
        let mut row = Vec::new();
        page.encode(&mut row);
        assert!(row.len() < PAGE_ENTRIES + 24, "{} bytes", row.len());
    }
}
