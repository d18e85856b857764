//! One stretch: checks of one stream, one after another, that found the same.

use netstats_projector::Error;
use netstats_stats::Known;

use crate::bytes::{self, Reader, damaged};
use crate::outcome::Verdict;

/// Milliseconds of a day: no stretch is longer, so that a range finds its stretches without reading all before it.
pub(super) const DAY_MS: i64 = 86_400_000;
/// A step that is more than so many times the usual one is a time in which nobody was to look.
const GAP_STEPS: i64 = 3;
/// The interval assumed of a stream with one check: the product's default.
const FIRST_STEP_MS: i64 = 60_000;

/// What a verdict says of the destination.
pub(super) const fn known(verdict: Verdict) -> Known {
    match verdict {
        Verdict::Good | Verdict::Poor => Known::Up,
        Verdict::Bad | Verdict::Dead => Known::Down,
        Verdict::Unknown => Known::Unknown,
    }
}

/// Checks that found the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) known: Known,
    /// Slots left out, told by one event: such a stretch stands for itself, so that any moment knows all of it or
    /// nothing.
    pub(super) is_skipped: bool,
    /// Slots of the first and the last check.
    pub(super) first: i64,
    pub(super) last: i64,
    /// Positions of the events of the first and the last check.
    pub(super) first_position: u64,
    pub(super) last_position: u64,
    pub(super) checks: u64,
    /// From the last check to the one that was due after it.
    pub(super) step_ms: i64,
    /// The same as of the first check, and the distance from the check before it: with them a part of the stretch is
    /// made again as it was known.
    pub(super) first_step_ms: i64,
    pub(super) first_distance_ms: i64,
}

impl Stretch {
    /// The day that the stretch is filed under.
    pub(super) const fn day(&self) -> i64 {
        self.first.div_euclid(DAY_MS)
    }

    /// The step, or the default one where no second check ever told.
    pub(super) const fn reach_ms(&self) -> i64 {
        if self.step_ms > 0 { self.step_ms } else { FIRST_STEP_MS }
    }

    /// A check after this one, at `slot`, follows it closely enough for no time in between to be nobody's.
    pub(super) const fn reaches(&self, slot: i64) -> bool {
        slot.saturating_sub(self.last) <= self.reach_ms().saturating_mul(GAP_STEPS)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.known as u8 | u8::from(self.is_skipped) << 2);
        bytes::put_signed(out, self.first);
        bytes::put_signed(out, self.last.saturating_sub(self.first));
        bytes::put(out, self.first_position);
        bytes::put(out, self.last_position.saturating_sub(self.first_position));
        bytes::put(out, self.checks);
        bytes::put_signed(out, self.step_ms);
        bytes::put_signed(out, self.first_step_ms);
        bytes::put_signed(out, self.first_distance_ms);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let code = reader.byte()?;
        let known = match code & 3 {
            0 => Known::Up,
            1 => Known::Down,
            2 => Known::Unknown,
            _ => return Err(damaged("what checks found")),
        };
        let is_skipped = code & 4 != 0;
        let (first, length) = (reader.signed()?, reader.signed()?);
        let (first_position, further) = (reader.number()?, reader.number()?);
        Ok(Self {
            known,
            is_skipped,
            first,
            last: first.saturating_add(length),
            first_position,
            last_position: first_position.saturating_add(further),
            checks: reader.number()?,
            step_ms: reader.signed()?,
            first_step_ms: reader.signed()?,
            first_distance_ms: reader.signed()?,
        })
    }

    /// The stretch of its first checks alone: `slots` and positions of its outcomes, in the order of positions.
    pub(super) fn part(&self, checks: &[(i64, u64)]) -> Self {
        let first = Self {
            last: self.first,
            last_position: self.first_position,
            checks: 1,
            step_ms: self.first_step_ms,
            ..*self
        };
        let mut open = Open { stretch: Some(first), distance_ms: self.first_distance_ms };
        for (slot, position) in checks.iter().filter(|(_, position)| *position > self.first_position) {
            open.take(self.known, self.is_skipped, (*slot, *slot), 1, *position, |_| {});
        }
        open.stretch.unwrap_or(first)
    }

    /// Whether it holds until `next` begins: near enough by its own step, or by the step that the next one begins with.
    pub(super) const fn holds_until(&self, next: &Self) -> bool {
        let distance = next.first.saturating_sub(self.last);
        let is_next_step = next.first_step_ms > 0 && distance <= next.first_step_ms + next.first_step_ms / 10;
        self.reaches(next.first) || is_next_step
    }
}

/// The stretch that a stream is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) stretch: Option<Stretch>,
    /// The distance of the last two checks, also over a gap: the same distance twice is a new step.
    distance_ms: i64,
}

impl Open {
    /// Takes a check, or slots left out (`is_skipped`), first and last; stretches that are over go to `closed`.
    pub(super) fn take(
        &mut self,
        known: Known,
        is_skipped: bool,
        slots: (i64, i64),
        checks: u64,
        position: u64,
        mut closed: impl FnMut(Stretch),
    ) {
        let (first, last) = (slots.0, slots.1.max(slots.0));
        let mut step_ms = 0;
        if let Some(before) = &self.stretch {
            let distance = first.saturating_sub(before.last);
            let is_usual = distance > 0 && (before.step_ms == 0 || before.reaches(first));
            let is_again = distance > 0 && distance.abs_diff(self.distance_ms) <= distance.unsigned_abs() / 10;
            step_ms = if is_usual || is_again { distance } else { before.step_ms };
            self.distance_ms = distance;
        }
        if let Ok(further) = i64::try_from(checks.saturating_sub(1))
            && further > 0
            && last > first
        {
            step_ms = (last - first) / further;
            self.distance_ms = step_ms;
        }
        // Days are filed apart. Pieces of one event share out its checks by their time.
        let mut from = first;
        loop {
            let day_end = from.div_euclid(DAY_MS).saturating_add(1).saturating_mul(DAY_MS);
            let is_last_piece = last < day_end;
            let to = if is_last_piece { last } else { day_end - 1 };
            let checks = if from == first && is_last_piece { checks } else { piece(to - from, step_ms) };
            self.join(
                Stretch {
                    known,
                    is_skipped,
                    first: from,
                    last: to,
                    first_position: position,
                    last_position: position,
                    checks,
                    step_ms,
                    first_step_ms: step_ms,
                    first_distance_ms: self.distance_ms,
                },
                &mut closed,
            );
            if is_last_piece {
                break;
            }
            from = day_end;
        }
    }

    fn join(&mut self, next: Stretch, closed: &mut impl FnMut(Stretch)) {
        match &mut self.stretch {
            Some(open)
                if open.known == next.known
                    && !open.is_skipped
                    && !next.is_skipped
                    && open.day() == next.day()
                    && next.first >= open.last
                    && (open.reaches(next.first) || (open.step_ms == 0 && next.step_ms > 0)) =>
            {
                open.last = next.last;
                open.last_position = next.last_position;
                open.checks += next.checks;
                open.step_ms = next.step_ms;
            }
            open => {
                if let Some(over) = open.replace(next) {
                    closed(over);
                }
            }
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(out, self.distance_ms);
        if let Some(stretch) = &self.stretch {
            stretch.encode(out);
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let distance_ms = reader.signed()?;
        Ok(Self { distance_ms, stretch: Some(Stretch::decode(reader)?) })
    }
}

/// Checks in a piece of an event that goes over several days.
const fn piece(length: i64, step_ms: i64) -> u64 {
    if step_ms > 0 { length.div_euclid(step_ms).unsigned_abs() + 1 } else { 1 }
}
