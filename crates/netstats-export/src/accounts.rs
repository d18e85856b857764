//! What accounts of availability rest on, as a part of an evidence pack: so small that whoever verifies one can make the
//! accounts again, and check them against the records.

use std::collections::BTreeMap;
use std::ops::Range;

use netstats_event::{DestinationId, JobId, Metric, Position, ProbeKind};
use netstats_series::{AccountBasis, CheckStream};
use netstats_stats::{Accounting, Blindness, Known, Stretch};
use serde::{Deserialize, Serialize};

/// A method of accounting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Method {
    retries: u32,
    grace_ms: i64,
    is_maintenance_excluded: bool,
    /// `excluded`, `up` or `down`.
    observer_outages: String,
}

const BLINDNESS: [(&str, Blindness); 3] =
    [("excluded", Blindness::Excluded), ("up", Blindness::Up), ("down", Blindness::Down)];

impl Method {
    pub(crate) fn of(accounting: &Accounting) -> Self {
        let named = BLINDNESS.iter().find(|(_, blindness)| *blindness == accounting.blindness);
        Self {
            retries: accounting.retries,
            grace_ms: accounting.grace_ms,
            is_maintenance_excluded: accounting.is_maintenance_excluded,
            observer_outages: named.map_or("", |(name, _)| name).to_owned(),
        }
    }

    /// None if this program does not know it.
    pub(crate) fn accounting(&self) -> Option<Accounting> {
        let (_, blindness) = BLINDNESS.iter().find(|(name, _)| *name == self.observer_outages)?;
        Some(Accounting {
            retries: self.retries,
            grace_ms: self.grace_ms,
            is_maintenance_excluded: self.is_maintenance_excluded,
            blindness: *blindness,
        })
    }
}

/// The accounts of a pack by destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Accounts(BTreeMap<u32, Account>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    range_ms: [i64; 2],
    maintenance_ms: Vec<[i64; 2]>,
    streams: Vec<Stream>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stream {
    job: u32,
    probe: String,
    /// Milliseconds since the stretch before (the first: since 1970), its length, up (0), down (1) or unknown (2), checks.
    stretches: Vec<(i64, i64, u8, u64)>,
}

impl Accounts {
    pub(crate) fn of(accounts: &BTreeMap<DestinationId, AccountBasis>) -> Self {
        let pair = |span: &Range<i64>| [span.start, span.end];
        let account = |(id, basis): (&DestinationId, &AccountBasis)| {
            let account = Account {
                range_ms: pair(&basis.range),
                maintenance_ms: basis.maintenance.iter().map(pair).collect(),
                streams: basis.streams.iter().map(Stream::of).collect(),
            };
            (id.0, account)
        };
        Self(accounts.iter().map(account).collect())
    }

    /// None if this program does not know something in them.
    pub(crate) fn bases(self, accounting: Accounting) -> Option<BTreeMap<DestinationId, AccountBasis>> {
        let span = |[from, to]: [i64; 2]| from..to;
        let basis = |(id, account): (u32, Account)| {
            let basis = AccountBasis {
                streams: account.streams.into_iter().map(Stream::checks).collect::<Option<_>>()?,
                maintenance: account.maintenance_ms.into_iter().map(span).collect(),
                range: span(account.range_ms),
                accounting,
            };
            Some((DestinationId(id), basis))
        };
        self.0.into_iter().map(basis).collect()
    }
}

impl Stream {
    fn of(stream: &CheckStream) -> Self {
        let mut end = 0;
        let stretch = |stretch: &Stretch| {
            let told = (stretch.from - end, stretch.to - stretch.from, stretch.known as u8, stretch.checks);
            end = stretch.to;
            told
        };
        let stretches = stream.stretches.iter().map(stretch).collect();
        Self { job: stream.job.0, probe: stream.probe.name().to_owned(), stretches }
    }

    fn checks(self) -> Option<CheckStream> {
        let mut end = 0_i64;
        let stretch = |(gap, length, known, checks)| {
            let from = end.checked_add(gap)?;
            end = from.checked_add(length)?;
            let known = [Known::Up, Known::Down, Known::Unknown].into_iter().find(|it| *it as u8 == known)?;
            Some(Stretch { from, to: end, known, checks })
        };
        let stretches = self.stretches.into_iter().map(stretch).collect::<Option<_>>()?;
        let probe = ProbeKind::ALL.into_iter().find(|probe| probe.name() == self.probe)?;
        Some(CheckStream { job: JobId(self.job), probe, stretches })
    }
}

type Key = (DestinationId, JobId, ProbeKind);

/// Compares the streams of accounts with records, which come in the order of their slots.
pub(crate) struct Witness<'a> {
    accounts: &'a BTreeMap<DestinationId, AccountBasis>,
    streams: BTreeMap<Key, Seen<'a>>,
}

struct Seen<'a> {
    stretches: &'a [Stretch],
    range: &'a Range<i64>,
    /// Records in each stretch.
    counts: Vec<u64>,
    last: Option<(i64, Position)>,
    /// A clock was set back under it: stretches hide each other, and what was recorded first counts.
    is_disordered: bool,
    /// The first record that says something else.
    against: Option<Position>,
}

impl<'a> Witness<'a> {
    pub(crate) fn new(accounts: &'a BTreeMap<DestinationId, AccountBasis>) -> Self {
        let mut streams = BTreeMap::new();
        for (id, basis) in accounts {
            for CheckStream { job, probe, stretches } in &basis.streams {
                let seen = Seen {
                    stretches,
                    range: &basis.range,
                    counts: vec![0; stretches.len()],
                    last: None,
                    is_disordered: false,
                    against: None,
                };
                streams.insert((*id, *job, *probe), seen);
            }
        }
        Self { accounts, streams }
    }

    /// Takes a check; false if no account knows its stream.
    pub(crate) fn take(&mut self, key: Key, slot: i64, known: Known, position: Position) -> bool {
        let Some(seen) = self.streams.get_mut(&key) else {
            return !self.accounts.get(&key.0).is_some_and(|basis| basis.range.contains(&slot));
        };
        seen.is_disordered |= seen.last.is_some_and(|last| last.0 >= slot || last.1 >= position);
        seen.last = Some((slot, position));
        if !seen.range.contains(&slot) {
            return true;
        }
        let after = seen.stretches.partition_point(|stretch| stretch.from <= slot);
        let at = after.checked_sub(1).filter(|at| slot < seen.stretches[*at].to);
        match at.filter(|at| seen.stretches[*at].known == known) {
            Some(at) => seen.counts[at] += 1,
            None => seen.against = seen.against.or(Some(position)),
        }
        true
    }

    /// What does not fit, in sentences, and how many streams have no records in the pack.
    pub(crate) fn verdict(self, metrics: &[Metric]) -> (Vec<String>, u64) {
        let (mut problems, mut unproved) = (Vec::new(), 0);
        for ((destination, job, probe), seen) in &self.streams {
            if !metrics.iter().any(|metric| metric.probe() == *probe) {
                unproved += u64::from(!seen.stretches.is_empty());
                continue;
            }
            if seen.is_disordered {
                continue;
            }
            let of = format!("destination {destination}, job {job}, {}", probe.name());
            if let Some(position) = seen.against {
                problems.push(format!("{of}: the record at position {position} says something else"));
            }
            let is_whole = |stretch: &Stretch| seen.range.start <= stretch.from && stretch.to <= seen.range.end;
            let counted = seen.stretches.iter().zip(&seen.counts);
            // What was left out has no records; and of what reaches out of the range, some are not here.
            let mut wrong = counted.filter(|(stretch, count)| {
                stretch.known != Known::Unknown && is_whole(stretch) && stretch.checks != **count
            });
            if let Some((stretch, count)) = wrong.next() {
                problems.push(format!(
                    "{of}: {} checks from {} ms on, and there are {count} records",
                    stretch.checks, stretch.from
                ));
            }
        }
        (problems, unproved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> BTreeMap<DestinationId, AccountBasis> {
        let stretch = |from, to, known, checks| Stretch { from, to, known, checks };
        let stretches = vec![
            stretch(-50, 40, Known::Up, 9),
            stretch(40, 60, Known::Down, 2),
            stretch(60, 90, Known::Unknown, 3),
            stretch(95, 120, Known::Up, 2),
        ];
        let basis = AccountBasis {
            streams: vec![CheckStream { job: JobId(1), probe: ProbeKind::Ping, stretches }],
            maintenance: vec![10..20, 15..30],
            range: 0..110,
            accounting: Accounting { retries: 1, blindness: Blindness::Down, ..Accounting::default() },
        };
        BTreeMap::from([(DestinationId(7), basis)])
    }

    #[test]
    fn accounts_come_back_from_their_part_of_a_pack() {
        let accounts = accounts();
        let accounting = accounts[&DestinationId(7)].accounting;
        let json = serde_json::to_string(&(Method::of(&accounting), Accounts::of(&accounts))).unwrap();
        let (method, read): (Method, Accounts) = serde_json::from_str(&json).unwrap();
        assert_eq!(read.bases(method.accounting().unwrap()), Some(accounts));
        let strange: Method = serde_json::from_str(
            &json.split("},").next().unwrap().replace("down", "maybe")[1..].replacen("\"maybe\"", "\"maybe\"}", 1),
        )
        .unwrap();
        assert_eq!(strange.accounting(), None);
    }

    /// Slots, what they found, and what is wrong with that.
    fn witness(checks: &[(i64, Known)], disorder: bool) -> Vec<String> {
        let accounts = accounts();
        let mut witness = Witness::new(&accounts);
        for (number, (slot, known)) in (1..).zip(checks) {
            let position = Position(if disorder { 1_000 - number } else { number });
            assert!(witness.take((DestinationId(7), JobId(1), ProbeKind::Ping), *slot, *known, position));
        }
        witness.verdict(&[Metric::Jitter]).0
    }

    #[test]
    fn records_that_say_something_else_than_the_account_are_found() {
        let right = [
            (0, Known::Up),
            (30, Known::Up),
            (40, Known::Down),
            (50, Known::Down),
            (60, Known::Unknown),
            (96, Known::Up),
        ];
        assert_eq!(witness(&right, false), [] as [String; 0]);
        let with = |at: usize, check: (i64, Known)| {
            let mut checks = right;
            checks[at] = check;
            witness(&checks, false).join("; ")
        };
        assert!(with(1, (30, Known::Down)).contains("position 2 says something else"));
        assert!(with(4, (92, Known::Up)).contains("position 5 says something else"), "no stretch holds it");
        assert!(witness(&right[..3], false)[0].contains("2 checks from 40 ms on, and there are 1 records"));
        // A clock that was set back makes no accusation; nor does a stream whose records are not in the pack.
        assert_eq!(witness(&[(30, Known::Down), (40, Known::Up)], true), [] as [String; 0]);
        let accounts = accounts();
        assert_eq!(Witness::new(&accounts).verdict(&[Metric::Dns]), (Vec::new(), 1));
    }
}
