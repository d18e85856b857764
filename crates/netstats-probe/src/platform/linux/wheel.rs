//! What is due when, for many: a hashed timing wheel (Varghese and Lauck 1987) with slots of a millisecond. Putting in
//! and taking out cost the same however many there are; a heap of 50,000 costs two dozen cache misses each.
//!
//! The slots only sort roughly: what is taken out is due to the nanosecond.

use std::time::{Duration, Instant};

/// Slots, a millisecond each: what is further away stays in its slot for another turn of the wheel.
const SLOTS: usize = 4_096;
const WORDS: usize = SLOTS / 64;

/// Entries with the moments at which they are due.
#[derive(Clone, Debug)]
pub(super) struct Wheel<T> {
    /// The moment at which slot 0 of turn 0 begins.
    origin: Instant,
    slots: Vec<Vec<(Instant, T)>>,
    /// Which slots hold anything.
    taken: [u64; WORDS],
    /// The millisecond up to which everything was taken out; of itself only what was due.
    cursor: u64,
}

impl<T: Copy> Wheel<T> {
    /// Empty; nothing will be due before `origin`.
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, slots: vec![Vec::new(); SLOTS], taken: [0; WORDS], cursor: 0 }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }

    /// Puts one in. What is overdue comes out next.
    pub(super) fn push(&mut self, due: Instant, entry: T) {
        let slot = self.millis(due).max(self.cursor) as usize % SLOTS;
        self.slots[slot].push((due, entry));
        self.taken[slot / 64] |= 1 << (slot % 64);
    }

    /// Takes out what is due by `at`, roughly in order, and appends it to `out`.
    pub(super) fn take(&mut self, at: Instant, out: &mut Vec<T>) {
        let end = self.millis(at);
        // After a whole turn every slot has been looked at.
        let last = end.min(self.cursor.saturating_add(SLOTS as u64 - 1));
        let mut next = Some(self.cursor).filter(|_| self.cursor <= end);
        while let Some(millisecond) = next {
            let slot = millisecond as usize % SLOTS;
            if self.taken[slot / 64] & 1 << (slot % 64) != 0 {
                self.slots[slot].retain(|(due, entry)| {
                    let is_due = *due <= at;
                    if is_due {
                        out.push(*entry);
                    }
                    !is_due
                });
                if self.slots[slot].is_empty() {
                    self.taken[slot / 64] &= !(1 << (slot % 64));
                }
            }
            next = (millisecond < last).then(|| millisecond + 1);
        }
        self.cursor = self.cursor.max(end);
    }

    /// When the next one is due; none if there is none.
    pub(super) fn next(&self) -> Option<Instant> {
        let start = self.cursor as usize % SLOTS;
        let from_start = u64::MAX << (start % 64);
        let mut best: Option<Instant> = None;
        // The word of the start comes twice: its end first, its beginning last.
        for step in 0..=WORDS {
            let word = (start / 64 + step) % WORDS;
            let mut bits = match step {
                0 => self.taken[word] & from_start,
                WORDS => self.taken[word] & !from_start,
                _ => self.taken[word],
            };
            while bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                best = best.into_iter().chain(self.slots[slot].iter().map(|(due, _)| *due)).min();
                let distance = (slot + SLOTS - start) % SLOTS;
                // Of this turn, and so before everything in later slots.
                let end = self.origin + Duration::from_millis(self.cursor + distance as u64 + 1);
                if best.is_some_and(|due| due < end) {
                    return best;
                }
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::now;

    #[test]
    fn nothing_comes_out_before_it_is_due() {
        let start = now();
        let at = |micros: u64| start + Duration::from_micros(micros);
        let mut wheel = Wheel::new(start);
        assert_eq!(wheel.next(), None);
        for (micros, entry) in [(1_500, 'b'), (1_400, 'a'), (9_000_000, 'd'), (4_096_400, 'c')] {
            wheel.push(at(micros), entry);
        }
        let mut out = Vec::new();
        for (micros, expected, next) in [
            (1_399, "", Some(1_400)),
            (1_450, "a", Some(1_500)),
            (1_500, "ab", Some(4_096_400)),
            (4_000_000, "ab", Some(4_096_400)),
            (20_000_000, "abcd", None),
        ] {
            wheel.take(at(micros), &mut out);
            assert_eq!((out.iter().collect::<String>().as_str(), wheel.next()), (expected, next.map(at)));
        }
        wheel.push(at(3), 'e');
        assert_eq!(wheel.next(), Some(at(3)), "overdue");
        wheel.take(at(20_000_001), &mut out);
        assert_eq!(out.last(), Some(&'e'));
    }

    proptest! {
        #[test]
        fn a_wheel_is_a_heap(steps in proptest::collection::vec((0_u64..9_000_000, 0_u64..3_000_000), 1..200)) {
            let start = now();
            let (mut wheel, mut kept, mut micros) = (Wheel::new(start), Vec::new(), 0);
            for (entry, (ahead, passes)) in steps.into_iter().enumerate() {
                let due = start + Duration::from_micros(micros + ahead);
                wheel.push(due, entry);
                kept.push((due, entry));
                prop_assert_eq!(wheel.next(), kept.iter().map(|(due, _)| *due).min());
                // Every second step is one of less than a slot.
                micros += if entry % 2 == 0 { passes } else { passes % 900 };
                let at = start + Duration::from_micros(micros);
                let mut out = Vec::new();
                wheel.take(at, &mut out);
                out.sort_unstable();
                let mut expected: Vec<usize> = kept.extract_if(.., |(due, _)| *due <= at).map(|(_, entry)| entry).collect();
                expected.sort_unstable();
                prop_assert_eq!(out, expected);
            }
        }
    }
}
