//! Decoded parts of segments, as many as fit: a look at neighbours decodes nothing twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::format::PageEntry;
use super::page::Page;
use super::read::Order;
use crate::Error;

/// A segment: its first position and its footer's checksum, for retention puts another file in its place.
pub(super) type Place = (u64, u32);

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Index(Place),
    Order(Place),
    Page(Place, u32),
}

/// A decoded part.
#[derive(Clone)]
pub(super) enum Decoded {
    Index(Arc<Vec<PageEntry>>),
    Order(Arc<Order>),
    Page(Arc<Page>),
}

struct Kept {
    decoded: Decoded,
    bytes: usize,
    used: u64,
}

#[derive(Default)]
struct Parts {
    kept: HashMap<Part, Kept>,
    bytes: usize,
    /// Counts uses: the largest number is the newest.
    uses: u64,
    /// What it was at the last sweep.
    swept: u64,
}

/// Decoded parts, bounded by their bytes; the least recently used goes first.
pub(crate) struct Cache {
    parts: Mutex<Parts>,
    at_most: usize,
}

impl Cache {
    pub(crate) fn new(at_most: usize) -> Self {
        Self { parts: Mutex::default(), at_most }
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().expect("no code panics while it holds the cache")
    }

    /// The part, decoded by `decode` if it is not there; `decode` tells its bytes.
    pub(super) fn get(
        &self,
        part: Part,
        decode: impl FnOnce() -> Result<(Decoded, usize), Error>,
    ) -> Result<Decoded, Error> {
        {
            let mut parts = self.parts();
            parts.uses += 1;
            let used = parts.uses;
            if let Some(kept) = parts.kept.get_mut(&part) {
                kept.used = used;
                return Ok(kept.decoded.clone());
            }
        }
        // Not under the lock: two readers may decode the same part once each, nobody waits for a disk.
        let (decoded, bytes) = decode()?;
        let mut parts = self.parts();
        let used = parts.uses;
        if bytes <= self.at_most && !parts.kept.contains_key(&part) {
            parts.kept.insert(part, Kept { decoded: decoded.clone(), bytes, used });
            parts.bytes += bytes;
            if parts.bytes > self.at_most {
                parts.shrink(self.at_most / 4 * 3);
            }
        }
        Ok(decoded)
    }

    /// Forgets what was not used since the last sweep: an idle process holds no decoded history.
    pub(crate) fn sweep(&self) {
        let mut guard = self.parts();
        let parts = &mut *guard;
        let swept = std::mem::replace(&mut parts.swept, parts.uses);
        parts.kept.retain(|_, kept| kept.used > swept);
        parts.bytes = parts.kept.values().map(|kept| kept.bytes).sum();
        if parts.kept.is_empty() {
            parts.kept.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.parts().bytes
    }
}

impl Parts {
    /// Drops the least recently used until at most `at_most` bytes are left.
    fn shrink(&mut self, at_most: usize) {
        let mut by_use: Vec<(u64, Part, usize)> =
            self.kept.iter().map(|(part, kept)| (kept.used, *part, kept.bytes)).collect();
        by_use.sort_unstable_by_key(|(used, ..)| *used);
        for (_, part, bytes) in by_use {
            if self.bytes <= at_most {
                return;
            }
            self.kept.remove(&part);
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Result<(Decoded, usize), Error> {
        Ok((Decoded::Index(Arc::default()), 10))
    }

    #[test]
    fn decoded_parts_are_bounded_and_the_newest_stay() {
        let cache = Cache::new(100);
        for number in 0..50 {
            cache.get(Part::Index((number, 0)), index).unwrap();
            cache.get(Part::Index((0, 0)), || unreachable!("used all the time, so it stays")).unwrap();
            assert!(cache.bytes() <= 100);
        }
        cache.get(Part::Index((49, 0)), || unreachable!("the newest but one")).unwrap();
        cache.get(Part::Page((0, 0), 0), || Ok((Decoded::Index(Arc::default()), 101))).unwrap();
        assert!(cache.bytes() <= 100, "what is over the limit alone is not kept");
    }

    #[test]
    fn what_nobody_uses_between_two_sweeps_is_forgotten() {
        let cache = Cache::new(100);
        cache.get(Part::Index((1, 0)), index).unwrap();
        cache.get(Part::Index((2, 0)), index).unwrap();
        cache.sweep();
        cache.get(Part::Index((2, 0)), index).unwrap();
        cache.sweep();
        assert_eq!(cache.bytes(), 10);
        cache.sweep();
        assert_eq!(cache.bytes(), 0);
    }
}
