//! Availability: how much of the time a destination answered, and when it did not.
//!
//! What counts is a matter of agreement, so it is never implied: an [`Accounting`] says it, and the same stretches
//! under another accounting give another figure. Times are whole milliseconds on the caller's axis; spans hold their
//! beginning and not their end.

use std::ops::Range;

use crate::mean::Interval;
use crate::{Loss, TooFew};

/// What was known of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// It answered, if only in part.
    Up,
    /// It did not answer, to an observer that could have heard it.
    Down,
    /// It should have been looked at, and the observer could not: its own failure, its own network, its own absence.
    Unknown,
}

/// A span of time in which checks one after another found the same. Time in no stretch was not to be looked at: no job
/// ran, or the destination was paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// From the first check.
    pub from: i64,
    /// To the first check of the next stretch, or one interval after the last check.
    pub to: i64,
    /// What they found.
    pub known: Known,
    /// How many there were.
    pub checks: u64,
}

/// What time without knowledge counts as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blindness {
    /// Nothing: it is taken out of the account.
    #[default]
    Excluded,
    /// The destination was up: in doubt for it.
    Up,
    /// The destination was down: in doubt against it.
    Down,
}

/// A method of accounting. The default counts each failed check, and takes maintenance and the observer's own outages
/// out of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// So many checks have to fail after the first, one after another, before the first counts: a failure that a retry
    /// took back is none.
    pub retries: u32,
    /// Outages shorter than this do not count, in milliseconds.
    pub grace_ms: i64,
    /// Time in maintenance windows is taken out of the account.
    pub is_maintenance_excluded: bool,
    /// What the observer's own outages count as.
    pub blindness: Blindness,
}

impl Default for Accounting {
    fn default() -> Self {
        Self { retries: 0, grace_ms: 0, is_maintenance_excluded: true, blindness: Blindness::Excluded }
    }
}

/// A time without answer: from the first failed check to the first answered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The first failed check, or the beginning of the range.
    pub from: i64,
    /// The first answered check after it, the end of what was looked at, or the end of the range.
    pub to: i64,
    /// It had not ended at `to`.
    pub is_open: bool,
    /// It began before the range.
    pub is_cut: bool,
    /// Of its time, what counts as down under the accounting; 0 where all of it was in excluded maintenance.
    pub counted_ms: i64,
    /// Of its time, what lay in maintenance windows.
    pub maintenance_ms: i64,
}

/// The account of a range. Accounts of ranges that do not overlap, and of several destinations, add up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// Time that counts as up.
    pub up_ms: i64,
    /// Time that counts as down.
    pub down_ms: i64,
    /// Time in which the observer knew nothing, whatever it counts as.
    pub unknown_ms: i64,
    /// Time in maintenance windows, where that is taken out.
    pub maintenance_ms: i64,
    /// Time in which nothing was to be looked at.
    pub unmeasured_ms: i64,
    /// The outages that count, in order; one whose time was all in excluded maintenance is not here.
    pub outages: Vec<Outage>,
}

impl Availability {
    /// Share of the accounted time that was up, 0 to 1; none where no time is in the account.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (up, down) = (u64::try_from(self.up_ms).ok()?, u64::try_from(self.down_ms).ok()?);
        Loss { sent: up + down, lost: down }.ratio().map(|down| 1.0 - down)
    }

    /// Mean time from an outage's beginning to its end, in milliseconds, over the outages that ended; none without.
    #[must_use]
    pub fn mean_time_to_repair_ms(&self) -> Option<f64> {
        let ended: Vec<f64> =
            self.outages.iter().filter(|outage| !outage.is_open).map(|o| millis(o.to - o.from)).collect();
        crate::mean(&ended)
    }

    /// Mean counted up time for each outage, in milliseconds; none without an outage.
    #[must_use]
    pub fn mean_time_between_failures_ms(&self) -> Option<f64> {
        let outages = crate::summary::count(self.outages.len());
        (!self.outages.is_empty()).then(|| millis(self.up_ms) / outages)
    }

    /// Both together. An outage that was cut between the two is two here.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.up_ms += other.up_ms;
        self.down_ms += other.down_ms;
        self.unknown_ms += other.unknown_ms;
        self.maintenance_ms += other.maintenance_ms;
        self.unmeasured_ms += other.unmeasured_ms;
        self.outages.extend(other.outages);
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans stay far below 2^53 milliseconds")]
const fn millis(span: i64) -> f64 {
    span as f64
}

/// The account of one destination over `range`. `streams` are its checks, each stream's stretches in order of time;
/// streams that disagree make it up (somebody got an answer). `maintenance` windows may overlap and be in any order.
///
/// The order of things: each stream forgives what its retries took back; the streams are laid over each other;
/// outages are joined over blind spots in their middle; those shorter than the grace are forgiven; maintenance and
/// blind time are taken out or counted as the accounting says.
#[must_use]
pub fn availability(
    streams: &[impl AsRef<[Stretch]>],
    maintenance: &[Range<i64>],
    range: &Range<i64>,
    accounting: &Accounting,
) -> Availability {
    let mut account = Availability::default();
    if range.start >= range.end {
        return account;
    }
    let confirmed: Vec<Vec<Stretch>> =
        streams.iter().map(|stream| confirm(stream.as_ref(), accounting.retries)).collect();
    let mut timeline = overlay(&confirmed);
    let outages = forgive(&mut timeline, accounting.grace_ms);
    let windows = union(maintenance);

    let mut covered = 0;
    for stretch in &timeline {
        let span = clip(&(stretch.from..stretch.to), range);
        let length = (span.end - span.start).max(0);
        covered += length;
        let excluded = if accounting.is_maintenance_excluded { overlap(&windows, &span) } else { 0 };
        account.maintenance_ms += excluded;
        let counts = length - excluded;
        match (stretch.known, accounting.blindness) {
            (Known::Up, _) => account.up_ms += counts,
            (Known::Down, _) => account.down_ms += counts,
            (Known::Unknown, blindness) => {
                account.unknown_ms += counts;
                match blindness {
                    Blindness::Excluded => {}
                    Blindness::Up => account.up_ms += counts,
                    Blindness::Down => account.down_ms += counts,
                }
            }
        }
    }
    account.unmeasured_ms = range.end - range.start - covered;

    for outage in outages {
        let span = clip(&(outage.from..outage.to), range);
        if span.start >= span.end {
            continue;
        }
        let counted_ms = timeline
            .iter()
            .filter(|stretch| stretch.from < span.end && stretch.to > span.start)
            .filter(|s| {
                s.known == Known::Down || (s.known == Known::Unknown && accounting.blindness == Blindness::Down)
            })
            .map(|stretch| {
                let part = clip(&(stretch.from..stretch.to), &span);
                let excluded = if accounting.is_maintenance_excluded { overlap(&windows, &part) } else { 0 };
                (part.end - part.start).max(0) - excluded
            })
            .sum();
        let found = Outage {
            from: span.start,
            to: span.end,
            is_open: outage.is_open || span.end < outage.to,
            is_cut: span.start > outage.from,
            counted_ms,
            maintenance_ms: overlap(&windows, &span),
        };
        if found.counted_ms > 0 {
            account.outages.push(found);
        }
    }
    account
}

/// Joins neighbours that found the same, and turns runs of failures that are too short to count into answers. Blind
/// spots do not end a run of failures; time not looked at does.
fn confirm(stream: &[Stretch], retries: u32) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::with_capacity(stream.len());
    for stretch in stream.iter().filter(|stretch| stretch.from < stretch.to) {
        match joined.last_mut() {
            Some(last) if last.to == stretch.from && last.known == stretch.known => {
                last.to = stretch.to;
                last.checks += stretch.checks;
            }
            _ => joined.push(*stretch),
        }
    }
    let mut first = 0;
    while first < joined.len() {
        if joined[first].known != Known::Down {
            first += 1;
            continue;
        }
        let mut end = first + 1;
        while end < joined.len() && joined[end].known != Known::Up && joined[end].from == joined[end - 1].to {
            end += 1;
        }
        let run = &mut joined[first..end];
        let failed: u64 = run.iter().filter(|stretch| stretch.known == Known::Down).map(|stretch| stretch.checks).sum();
        if failed <= u64::from(retries) {
            run.iter_mut().filter(|stretch| stretch.known == Known::Down).for_each(|stretch| stretch.known = Known::Up);
        }
        first = end;
    }
    joined
}

/// What several streams say together, at every moment: up if any says up, else down if any says down, else unknown if
/// any is blind, else nothing.
fn overlay(streams: &[Vec<Stretch>]) -> Vec<Stretch> {
    if let [only] = streams {
        return only.clone();
    }
    // At each edge, how many streams begin (1) or cease (-1) to say what.
    let mut edges: Vec<(i64, Known, i32)> = Vec::new();
    for stretch in streams.iter().flatten() {
        edges.push((stretch.from, stretch.known, 1));
        edges.push((stretch.to, stretch.known, -1));
    }
    edges.sort_unstable();
    let mut saying = [0_i32; 3];
    let mut timeline: Vec<Stretch> = Vec::new();
    let mut at = edges.first().map_or(0, |edge| edge.0);
    for (edge, known, change) in edges {
        let said = [Known::Up, Known::Down, Known::Unknown].into_iter().find(|known| saying[*known as usize] > 0);
        if let Some(known) = said.filter(|_| edge > at) {
            match timeline.last_mut() {
                Some(last) if last.to == at && last.known == known => last.to = edge,
                _ => timeline.push(Stretch { from: at, to: edge, known, checks: 0 }),
            }
        }
        at = edge;
        saying[known as usize] += change;
    }
    timeline
}

struct Run {
    from: i64,
    to: i64,
    is_open: bool,
}

/// The outages of a timeline: failures, joined over blind spots between two of them. Those shorter than `grace_ms` are
/// forgiven: their failures become answers. An outage that may not have ended is never forgiven.
fn forgive(timeline: &mut [Stretch], grace_ms: i64) -> Vec<Run> {
    let mut outages = Vec::new();
    let mut first = 0;
    while first < timeline.len() {
        if timeline[first].known != Known::Down {
            first += 1;
            continue;
        }
        let (mut last, mut next) = (first, first + 1);
        while next < timeline.len() && timeline[next].known != Known::Up && timeline[next].from == timeline[next - 1].to
        {
            if timeline[next].known == Known::Down {
                last = next;
            }
            next += 1;
        }
        // An answer right after the last failure ends it; so does nothing else.
        let ends =
            timeline.get(last + 1).is_some_and(|after| after.known == Known::Up && after.from == timeline[last].to);
        let run = Run { from: timeline[first].from, to: timeline[last].to, is_open: !ends };
        if ends && run.to - run.from < grace_ms {
            let forgiven = timeline[first..=last].iter_mut().filter(|stretch| stretch.known == Known::Down);
            forgiven.for_each(|stretch| stretch.known = Known::Up);
        } else {
            outages.push(run);
        }
        first = next;
    }
    outages
}

/// Spans in order, overlapping ones joined.
fn union(spans: &[Range<i64>]) -> Vec<Range<i64>> {
    let mut spans: Vec<Range<i64>> = spans.iter().filter(|span| span.start < span.end).cloned().collect();
    spans.sort_unstable_by_key(|span| span.start);
    let mut joined: Vec<Range<i64>> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}

/// How much of `span` lies in `windows`, which are in order and apart.
fn overlap(windows: &[Range<i64>], span: &Range<i64>) -> i64 {
    let first = windows.partition_point(|window| window.end <= span.start);
    let inside = windows[first..].iter().take_while(|window| window.start < span.end);
    inside.map(|window| clip(window, span)).map(|part| (part.end - part.start).max(0)).sum()
}

fn clip(span: &Range<i64>, to: &Range<i64>) -> Range<i64> {
    span.start.max(to.start)..span.end.min(to.end)
}

/// A service level over checks rather than time: the share of checks that were answered, with Wilson's interval.
///
/// # Errors
/// Fewer checks than `needs`.
pub fn answered_share(checks: u64, failed: u64, confidence: f64, needs: usize) -> Result<(f64, Interval), TooFew> {
    let has = usize::try_from(checks).unwrap_or(usize::MAX);
    let too_few = TooFew { has, needs };
    if has < needs.max(1) {
        return Err(too_few);
    }
    let loss = Loss { sent: checks, lost: failed };
    let (ratio, interval) = loss.ratio().zip(loss.interval(confidence)).ok_or(too_few)?;
    Ok((1.0 - ratio, Interval { low: 1.0 - interval.high, high: 1.0 - interval.low, confidence }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches(parts: &[(i64, i64, Known, u64)]) -> Vec<Stretch> {
        parts
            .iter()
            .map(|(from, to, known, checks)| Stretch { from: *from, to: *to, known: *known, checks: *checks })
            .collect()
    }

    /// Up, one failed check, up, three failed checks, blind, one failed check, up.
    fn day() -> Vec<Stretch> {
        stretches(&[
            (0, 100, Known::Up, 10),
            (100, 110, Known::Down, 1),
            (110, 200, Known::Up, 9),
            (200, 230, Known::Down, 3),
            (230, 250, Known::Unknown, 2),
            (250, 260, Known::Down, 1),
            (260, 300, Known::Up, 4),
        ])
    }

    fn account(accounting: &Accounting, maintenance: &[Range<i64>]) -> Availability {
        availability(&[day()], maintenance, &(0..400), accounting)
    }

    #[test]
    fn the_default_counts_each_failure_and_leaves_out_what_nobody_saw() {
        let account = account(&Accounting::default(), &[]);
        assert_eq!((account.up_ms, account.down_ms, account.unknown_ms, account.unmeasured_ms), (230, 50, 20, 100));
        assert_eq!(account.ratio(), Some(1.0 - 50.0 / 280.0));
        let spans: Vec<_> = account.outages.iter().map(|o| (o.from, o.to, o.counted_ms, o.is_open)).collect();
        assert_eq!(spans, [(100, 110, 10, false), (200, 260, 40, false)], "one outage goes on over a blind spot");
        assert_eq!(account.mean_time_to_repair_ms(), Some(35.0));
        assert_eq!(account.mean_time_between_failures_ms(), Some(115.0));
    }

    #[test]
    fn a_retry_takes_a_failure_back() {
        let once = account(&Accounting { retries: 1, ..Accounting::default() }, &[]);
        assert_eq!((once.up_ms, once.down_ms, once.outages.len()), (240, 40, 1));
        let often = account(&Accounting { retries: 4, ..Accounting::default() }, &[]);
        assert_eq!((often.up_ms, often.down_ms, often.outages.len()), (280, 0, 0), "four failures over a blind spot");
    }

    #[test]
    fn blind_time_counts_as_the_method_says() {
        for (blindness, up, down) in
            [(Blindness::Excluded, 230, 50), (Blindness::Up, 250, 50), (Blindness::Down, 230, 70)]
        {
            let account = account(&Accounting { blindness, ..Accounting::default() }, &[]);
            assert_eq!((account.up_ms, account.down_ms, account.unknown_ms), (up, down, 20), "{blindness:?}");
        }
    }

    #[test]
    fn maintenance_leaves_the_account_or_stays_in_it() {
        let windows = [195..215, 210..240, 90..120];
        let without = account(&Accounting::default(), &windows);
        // Of 90..120: 20 up and 10 down. Of 195..240: 5 up, 30 down, 10 blind.
        assert_eq!((without.up_ms, without.down_ms, without.unknown_ms, without.maintenance_ms), (205, 10, 10, 75));
        let spans: Vec<_> = without.outages.iter().map(|o| (o.from, o.counted_ms, o.maintenance_ms)).collect();
        assert_eq!(spans, [(200, 10, 40)], "an outage all in maintenance is not listed");
        let with = account(&Accounting { is_maintenance_excluded: false, ..Accounting::default() }, &windows);
        assert_eq!((with.down_ms, with.maintenance_ms, with.outages.len()), (50, 0, 2));
        assert_eq!(with.outages[0].maintenance_ms, 10, "it is told all the same");
    }

    #[test]
    fn short_outages_are_forgiven_but_not_those_that_may_go_on() {
        let grace = Accounting { grace_ms: 11, ..Accounting::default() };
        assert_eq!((account(&grace, &[]).down_ms, account(&grace, &[]).outages.len()), (40, 1));
        let open = stretches(&[(0, 10, Known::Up, 1), (10, 20, Known::Down, 1)]);
        let account = availability(&[open], &[], &(0..20), &Accounting { grace_ms: 1_000, ..Accounting::default() });
        assert_eq!((account.down_ms, account.outages[0].is_open), (10, true));
    }

    #[test]
    fn streams_that_disagree_make_it_up() {
        let one = stretches(&[(0, 100, Known::Up, 10), (100, 200, Known::Down, 10)]);
        let two = stretches(&[(50, 150, Known::Down, 10), (150, 180, Known::Unknown, 3), (180, 250, Known::Up, 7)]);
        let account = availability(&[one, two], &[], &(0..300), &Accounting::default());
        assert_eq!((account.up_ms, account.down_ms, account.unknown_ms, account.unmeasured_ms), (170, 80, 0, 50));
        assert_eq!((account.outages[0].from, account.outages[0].to), (100, 180));
    }

    #[test]
    fn a_range_cuts_outages_and_says_so() {
        let account = availability(&[day()], &[], &(205..255), &Accounting::default());
        let [outage] = account.outages[..] else { panic!("{account:?}") };
        assert_eq!((outage.from, outage.to, outage.is_cut, outage.is_open), (205, 255, true, true));
        assert_eq!((account.down_ms, account.unknown_ms), (30, 20));
        assert_eq!(availability(&[day()], &[], &(5..5), &Accounting::default()), Availability::default());
    }

    #[test]
    fn nothing_looked_at_is_no_availability() {
        let account = availability(&[] as &[Vec<Stretch>], &[], &(0..1_000), &Accounting::default());
        assert_eq!((account.ratio(), account.unmeasured_ms), (None, 1_000));
        assert_eq!((account.mean_time_to_repair_ms(), account.mean_time_between_failures_ms()), (None, None));
    }

    #[test]
    fn a_share_of_few_checks_is_refused() {
        assert_eq!(answered_share(9, 1, 0.95, 10), Err(TooFew { has: 9, needs: 10 }));
        let (share, interval) = answered_share(20, 1, 0.95, 10).unwrap();
        assert!((share - 0.95).abs() < 1e-12 && interval.low < share && share < interval.high);
        assert!(answered_share(0, 0, 0.95, 0).is_err());
    }
}
