//! What a report says, gathered in one pass over the events of its range. Single round trips wait in a temporary file, so
//! that memory grows with destinations and with time, and not with rows.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Duration;

use jiff::tz::TimeZone;
use netstats_event::{DestinationId, Envelope, Event, Metric, PingMeasured, Position, Timestamp};
use netstats_series::{AccountBasis, Row, RowDetail, RowStatus, check_of};
use netstats_stats::{
    Accounting, Availability, Known, Loss, Moments, SmoothedJitter, ipdv, mean_abs_ipdv, percentile, percentile_needs,
    quantile,
};

use crate::limits::{MAX_CHART_BUCKETS, MAX_COLUMN_DESTINATIONS, MAX_HEATMAPS};
use crate::names::Names;
use crate::probes::{ProbeKey, ProbeReport};
use crate::spill::{Many, Spill};

/// What the report is about and what it rests on.
#[derive(Clone, Debug)]
pub struct ReportHead {
    /// Title, as `Network quality of the Berlin office`.
    pub title: String,
    /// Which jobs and destinations, in words.
    pub scope: String,
    /// Slots from the first moment up to, and without, the second.
    pub range: Range<Timestamp>,
    /// The calendar of days, hours and weekdays, and of all times shown.
    pub time_zone: TimeZone,
    /// Its name.
    pub time_zone_name: String,
    /// When the report was made.
    pub generated_at: Timestamp,
    /// Program and version.
    pub generator: String,
    /// The method of accounting for availability.
    pub accounting: Accounting,
    /// The last position that the report could know.
    pub position: Position,
    /// The log's chain value there, in hexadecimal: it proves every event up to it.
    pub chain: String,
}

/// Figures of one destination.
#[derive(Debug, Default)]
pub struct DestinationReport {
    /// Its name.
    pub name: String,
    /// Its host, as configured.
    pub host: String,
    /// Packets.
    pub loss: Loss,
    /// Packets answered after the timeout.
    pub late: u64,
    /// Longest run of packets lost, over burst borders too.
    pub longest_loss_run: u64,
    current_loss_run: u64,
    /// Slots of pings by outcome.
    pub slots: Slots,
    /// Mean |IPDV| of each burst, summed, and how many.
    jitter_sum_ms: f64,
    jitter_pairs: u64,
    smoothed: SmoothedJitter,
    /// Round trips in microseconds: how many, their mean, spread and ends.
    pub moments: Moments,
    /// All of them.
    times: Many<u32>,
    /// Round trips by size: how many are below each of [`BIN_ENDS`] and not below the one before; empty without one.
    pub bins: Vec<u64>,
    /// Median, 95th and 99th percentile of the round trips in milliseconds; none without one.
    pub quantiles_ms: Option<[f64; 3]>,
    /// Round trips by time; empty beyond the first [`MAX_COLUMN_DESTINATIONS`].
    pub course: Vec<BucketTimes>,
    open_bucket: Option<(u32, Vec<u32>)>,
    has_course: bool,
    /// Slots by local day (days since 1970).
    pub days: BTreeMap<i32, Slots>,
    /// Burst medians in microseconds by weekday (0 is Monday) and hour: index weekday * 24 + hour.
    week: BTreeMap<usize, Many<u32>>,
    /// Their medians in milliseconds; empty beyond the first [`MAX_HEATMAPS`].
    pub week_ms: BTreeMap<usize, f64>,
    has_week: bool,
    /// The account of its availability; none where nobody gave one.
    pub account: Option<Availability>,
    /// The outages of the account, with what the rows say of them.
    pub outages: Vec<Outage>,
    last_good: Option<Timestamp>,
}

/// Round trips of one time bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BucketTimes {
    /// Which.
    pub bucket: u32,
    /// Median in milliseconds.
    pub median_ms: f64,
    /// 95th percentile; from 20 round trips on.
    pub p95_ms: Option<f64>,
}

/// Upper ends of the distribution's bins in microseconds: 1, 1.5, 2, 3, 5, 7 times each power of ten, from 10 us to
/// 700 s, so that 1 ms and 1 s both have detail.
pub const BIN_ENDS: [u64; 48] = bin_ends();

#[expect(clippy::cast_possible_truncation, reason = "eight powers of ten")]
const fn bin_ends() -> [u64; 48] {
    const STEPS: [u64; 6] = [10, 15, 20, 30, 50, 70];
    let (mut ends, mut at) = ([0; 48], 0);
    while at < ends.len() {
        ends[at] = STEPS[at % STEPS.len()] * 10_u64.pow((at / STEPS.len()) as u32);
        at += 1;
    }
    ends
}

/// The bin of a round trip; the last one has what is longer too.
#[must_use]
pub fn bin_of(micros: u32) -> usize {
    BIN_ENDS.partition_point(|end| *end <= u64::from(micros)).min(BIN_ENDS.len() - 1)
}

/// Slots by what they said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Something came back.
    pub answered: u64,
    /// Nothing came back.
    pub silent: u64,
    /// Nothing was learnt: our own network was down, or the slot failed on our side. Counts for nothing.
    pub inconclusive: u64,
}

impl Slots {
    /// Share of the conclusive slots that were answered; none without a conclusive one.
    #[must_use]
    pub fn answered_share(self) -> Option<f64> {
        let conclusive = self.answered + self.silent;
        #[expect(clippy::cast_precision_loss, reason = "counts of slots are far below 2^53")]
        (conclusive > 0).then(|| self.answered as f64 / conclusive as f64)
    }

    fn count(&mut self, status: RowStatus) {
        match status {
            RowStatus::Success | RowStatus::Partial => self.answered += 1,
            RowStatus::Timeout | RowStatus::Unreachable | RowStatus::Refused => self.silent += 1,
            RowStatus::Error | RowStatus::Unknown => self.inconclusive += 1,
        }
    }
}

/// An outage of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last check of the range that was answered before, if any.
    pub last_good: Option<Timestamp>,
    /// The first check without an answer, or the beginning of the range.
    pub from: Timestamp,
    /// The first check with an answer again; none if it had not ended by then.
    pub to: Option<Timestamp>,
    /// The end of what the account knows of it.
    pub known_to: Timestamp,
    /// It began before the range.
    pub is_cut: bool,
    /// Milliseconds of it that count as down by the method.
    pub counted_ms: i64,
    /// Milliseconds of it in maintenance.
    pub maintenance_ms: i64,
    /// Checks without an answer among the rows.
    pub checks: u64,
    /// How the first of them ended.
    pub cause: Option<RowStatus>,
}

impl Outage {
    fn of(outage: &netstats_stats::Outage) -> Self {
        let at = Timestamp::from_millis;
        Self {
            last_good: None,
            from: at(outage.from),
            to: (!outage.is_open).then_some(at(outage.to)),
            known_to: at(outage.to),
            is_cut: outage.is_cut,
            counted_ms: outage.counted_ms,
            maintenance_ms: outage.maintenance_ms,
            checks: 0,
            cause: None,
        }
    }
}

/// A route as it was for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVersion {
    /// The destination.
    pub destination: DestinationId,
    /// Hash over the hops that answered.
    pub path_hash: u64,
    /// First seen.
    pub first: Timestamp,
    /// Last seen.
    pub last: Timestamp,
    /// How often.
    pub seen: u64,
    /// Hops.
    pub hop_count: u32,
    /// The hops that answered, in words.
    pub hops: String,
}

/// All of it.
#[derive(Debug)]
pub struct Report {
    /// What it is about.
    pub head: ReportHead,
    /// Figures by destination: those that were pinged, and those with an account.
    pub destinations: BTreeMap<DestinationId, DestinationReport>,
    /// Route versions in the order in which they were first seen.
    pub paths: Vec<PathVersion>,
    /// DNS, bandwidth, TCP and HTTP.
    pub probes: BTreeMap<ProbeKey, ProbeReport>,
    /// Width of the time buckets.
    pub bucket: Duration,
    /// Rows by metric.
    pub rows: BTreeMap<Metric, u64>,
    /// Destinations with round trips.
    timed: usize,
    spill: Spill,
}

impl Report {
    /// One without rows. What the accounts are about is in it even if no row is.
    #[must_use]
    pub fn new(head: ReportHead, accounts: &BTreeMap<DestinationId, AccountBasis>, names: &Names) -> Self {
        let bucket = bucket_width(head.range.end.since(head.range.start));
        let mut destinations = BTreeMap::new();
        for (id, basis) in accounts {
            let account = basis.account();
            // Nobody was to look: there is nothing to say.
            if account.unmeasured_ms >= basis.range.end - basis.range.start {
                continue;
            }
            let (name, host) = names.destination(*id);
            let destination = DestinationReport {
                name: if name.is_empty() { format!("destination {id}") } else { name.to_owned() },
                host: host.to_owned(),
                outages: account.outages.iter().map(Outage::of).collect(),
                account: Some(account),
                ..DestinationReport::default()
            };
            destinations.insert(*id, destination);
        }
        Self {
            head,
            destinations,
            paths: Vec::new(),
            probes: BTreeMap::new(),
            bucket,
            rows: BTreeMap::new(),
            timed: 0,
            spill: Spill::default(),
        }
    }

    /// Takes up an event and its rows. Events of one destination come in the order of their slots.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn add(&mut self, envelope: &Envelope, rows: &[Row], name: &str, host: &str) -> io::Result<()> {
        for row in rows {
            *self.rows.entry(row.metric).or_default() += 1;
            if let Some(key) = ProbeReport::key_of(row) {
                let probe = self.probes.entry(key).or_default();
                if probe.name.is_empty() {
                    name.clone_into(&mut probe.name);
                }
                probe.add(row, &envelope.event, &mut self.spill)?;
            }
        }
        self.add_check(envelope, rows);
        if let Some(row) = rows.iter().find(|row| matches!(row.detail, RowDetail::Traceroute { .. })) {
            self.add_path(envelope, row);
        }
        let is_ping = |row: &&Row| matches!(row.metric, Metric::Ping | Metric::PacketLoss | Metric::Jitter);
        let Some(row) = rows.iter().find(is_ping) else { return Ok(()) };
        let index = self.bucket_index(row.at);
        let local = LocalTime::of(&self.head.time_zone, row.at);
        let destination = self.destinations.entry(row.destination).or_default();
        if destination.name.is_empty() {
            name.clone_into(&mut destination.name);
            host.clone_into(&mut destination.host);
        }
        destination.slots.count(row.status);
        destination.days.entry(local.day).or_default().count(row.status);
        if let Event::PingMeasured(burst) = &envelope.event
            && row.status != RowStatus::Unknown
        {
            destination.add_packets(burst);
            if !burst.head.flags.clock_suspect {
                destination.add_times(burst, index, &local, &mut self.timed, &mut self.spill)?;
            }
        }
        Ok(())
    }

    /// Tells the account's outages how they began.
    fn add_check(&mut self, envelope: &Envelope, rows: &[Row]) {
        let Some(((slot, _, known), row)) = check_of(&envelope.event).zip(rows.first()) else { return };
        let Some(destination) = self.destinations.get_mut(&row.destination) else { return };
        match known {
            Known::Up => destination.last_good = Some(row.at),
            Known::Down => {
                let slot = Timestamp::from_millis(slot);
                let after = destination.outages.partition_point(|outage| outage.from <= slot);
                let outage = after.checked_sub(1).and_then(|at| destination.outages.get_mut(at));
                let Some(outage) = outage.filter(|outage| slot < outage.known_to) else { return };
                outage.checks += 1;
                if outage.cause.is_none() {
                    (outage.cause, outage.last_good) = (Some(row.status), destination.last_good);
                }
            }
            Known::Unknown => {}
        }
    }

    /// Works out what needs all of the rows.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub fn finish(mut self) -> io::Result<Self> {
        for destination in self.destinations.values_mut() {
            destination.finish(&mut self.spill)?;
        }
        for probe in self.probes.values_mut() {
            probe.finish(&mut self.spill)?;
        }
        self.spill = Spill::default();
        Ok(self)
    }

    /// The bucket of a moment; moments outside the range go to the ends.
    fn bucket_index(&self, at: Timestamp) -> u32 {
        let width = self.bucket.as_millis().max(1);
        u32::try_from(at.since(self.head.range.start).as_millis() / width).unwrap_or(u32::MAX)
    }

    /// When a bucket begins.
    #[must_use]
    pub fn bucket_start(&self, index: u32) -> Timestamp {
        self.head.range.start.plus(self.bucket * index)
    }

    fn add_path(&mut self, envelope: &Envelope, row: &Row) {
        let RowDetail::Traceroute { hop_count, path_hash, .. } = row.detail else { return };
        let known = self.paths.iter_mut().rev().find(|path| path.destination == row.destination);
        if let Some(path) = known
            && path.path_hash == path_hash
        {
            path.last = row.at;
            path.seen += 1;
            return;
        }
        let hops = match &envelope.event {
            Event::RouteTraced(route) => hops_in_words(route),
            _ => String::new(),
        };
        let (first, last) = (row.at, row.at);
        self.paths.push(PathVersion { destination: row.destination, path_hash, first, last, seen: 1, hop_count, hops });
    }
}

impl DestinationReport {
    fn add_packets(&mut self, burst: &PingMeasured) {
        use netstats_event::Echo;
        for echo in burst.echoes.iter().filter(|echo| echo.is_sent()) {
            let lost = u64::from(!matches!(echo, Echo::Reply(_) | Echo::Late(_)));
            self.loss = self.loss.plus(Loss { sent: 1, lost });
            self.late += u64::from(matches!(echo, Echo::Late(_)));
            self.current_loss_run = if lost == 1 { self.current_loss_run + 1 } else { 0 };
            self.longest_loss_run = self.longest_loss_run.max(self.current_loss_run);
        }
    }

    fn add_times(
        &mut self,
        burst: &PingMeasured,
        bucket: u32,
        local: &LocalTime,
        timed: &mut usize,
        spill: &mut Spill,
    ) -> io::Result<()> {
        let delays = || burst.echoes.iter().map(|echo| echo.rtt().map(netstats_event::Rtt::as_millis_f64));
        if let Some(mean) = mean_abs_ipdv(delays()) {
            let pairs = ipdv(delays()).count() as u64;
            #[expect(clippy::cast_precision_loss, reason = "pairs of one burst")]
            let weight = pairs as f64;
            self.jitter_sum_ms += mean * weight;
            self.jitter_pairs += pairs;
        }
        delays().flatten().for_each(|delay| self.smoothed.add(delay));
        let mut micros: Vec<u32> =
            burst.echoes.iter().filter_map(|echo| echo.rtt().map(netstats_event::Rtt::as_micros)).collect();
        if micros.is_empty() {
            return Ok(());
        }
        if self.moments.n == 0 {
            (self.has_course, self.has_week) = (*timed < MAX_COLUMN_DESTINATIONS, *timed < MAX_HEATMAPS);
            *timed += 1;
            self.bins = vec![0; BIN_ENDS.len()];
        }
        for us in &micros {
            self.moments.add(*us);
            self.bins[bin_of(*us)] += 1;
            self.times.push(*us, spill)?;
        }
        if self.has_course {
            if self.open_bucket.as_ref().is_some_and(|(open, _)| *open != bucket) {
                self.close_bucket();
            }
            self.open_bucket.get_or_insert_with(|| (bucket, Vec::new())).1.extend_from_slice(&micros);
        }
        if self.has_week {
            micros.sort_unstable();
            self.week.entry(local.hour_of_week).or_default().push(micros[micros.len() / 2], spill)?;
        }
        Ok(())
    }

    fn close_bucket(&mut self) {
        let Some((bucket, mut micros)) = self.open_bucket.take() else { return };
        micros.sort_unstable();
        let sorted: Vec<f64> = micros.into_iter().map(millis).collect();
        let Some(median_ms) = quantile(&sorted, 0.5) else { return };
        self.course.push(BucketTimes { bucket, median_ms, p95_ms: percentile(&sorted, 0.95).ok() });
    }

    fn finish(&mut self, spill: &mut Spill) -> io::Result<()> {
        self.close_bucket();
        self.quantiles_ms = std::mem::take(&mut self.times).quantiles(spill, [0.5, 0.95, 0.99], millis)?;
        for (cell, medians) in std::mem::take(&mut self.week) {
            let median = medians.quantiles(spill, [0.5], millis)?;
            self.week_ms.extend(median.map(|[median]| (cell, median)));
        }
        Ok(())
    }

    /// Median of the round trips, in milliseconds.
    #[must_use]
    pub fn median_ms(&self) -> Option<f64> {
        self.quantiles_ms.map(|[median, ..]| median)
    }

    /// 95th percentile of the round trips, in milliseconds; from 20 on.
    #[must_use]
    pub fn p95_ms(&self) -> Option<f64> {
        self.quantiles_ms.map(|[_, p95, _]| p95).filter(|_| self.has_enough(0.95))
    }

    /// 99th percentile of the round trips, in milliseconds; from 100 on.
    #[must_use]
    pub fn p99_ms(&self) -> Option<f64> {
        self.quantiles_ms.map(|[_, _, p99]| p99).filter(|_| self.has_enough(0.99))
    }

    fn has_enough(&self, q: f64) -> bool {
        self.moments.n >= percentile_needs(q) as u64
    }

    /// Mean |IPDV| over all pairs of neighbours inside bursts.
    #[must_use]
    pub fn jitter_ms(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts of pairs are far below 2^53")]
        (self.jitter_pairs > 0).then(|| self.jitter_sum_ms / self.jitter_pairs as f64)
    }

    /// RFC 3550 smoothed jitter at the end of the range.
    #[must_use]
    pub fn smoothed_jitter_ms(&self) -> Option<f64> {
        self.smoothed.value()
    }
}

fn millis(micros: u32) -> f64 {
    f64::from(micros) / 1_000.0
}

fn hops_in_words(route: &netstats_event::RouteTraced) -> String {
    use netstats_event::HopAnswer;
    let hop = |hop: &netstats_event::Hop| {
        let from = hop.answers.iter().find_map(|answer| match answer {
            HopAnswer::Answer { from, .. } => Some(from.to_string()),
            _ => None,
        });
        from.unwrap_or_else(|| "*".to_owned())
    };
    route.hops.iter().map(hop).collect::<Vec<_>>().join(" > ")
}

/// A moment in the report's calendar.
pub(crate) struct LocalTime {
    /// Local days since 1970-01-01.
    pub(crate) day: i32,
    /// Weekday (0 is Monday) * 24 + hour.
    pub(crate) hour_of_week: usize,
}

impl LocalTime {
    fn of(zone: &TimeZone, at: Timestamp) -> Self {
        let seconds = at.as_secs() + i64::from(offset_seconds(zone, at));
        let day = seconds.div_euclid(86_400);
        // 1970-01-01 was a Thursday, number 3.
        let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
        let hour = usize::try_from(seconds.rem_euclid(86_400) / 3_600).unwrap_or(0);
        Self { day: i32::try_from(day).unwrap_or(i32::MAX), hour_of_week: weekday * 24 + hour }
    }
}

/// Seconds by which the zone is ahead of UTC at that moment.
pub(crate) fn offset_seconds(zone: &TimeZone, at: Timestamp) -> i32 {
    jiff::Timestamp::from_second(at.as_secs()).map_or(0, |moment| zone.to_offset(moment).seconds())
}

/// The finest of these widths that gives at most `MAX_CHART_BUCKETS` buckets.
fn bucket_width(range: Duration) -> Duration {
    const MINUTES: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1_440, 2_880, 10_080];
    let widths = MINUTES.map(|minutes| Duration::from_secs(minutes * 60));
    let fits = |width: &Duration| range.as_secs() / width.as_secs() < u64::from(MAX_CHART_BUCKETS);
    widths.into_iter().find(fits).unwrap_or(Duration::from_secs(range.as_secs() / u64::from(MAX_CHART_BUCKETS) + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend_and_hold_what_is_below_their_end() {
        assert!(BIN_ENDS.is_sorted() && BIN_ENDS[0] == 10 && BIN_ENDS[47] == 700_000_000);
        assert_eq!([0, 9, 10, 14, 15, u32::MAX].map(bin_of), [0, 0, 1, 1, 2, 47]);
    }

    #[test]
    fn buckets_never_pass_the_limit() {
        for seconds in [0, 1, 3_600, 86_400, 30 * 86_400, 400 * 86_400, 30_000 * 86_400] {
            let width = bucket_width(Duration::from_secs(seconds));
            assert!(seconds / width.as_secs() < u64::from(MAX_CHART_BUCKETS), "{seconds} s in buckets of {width:?}");
        }
    }

    #[test]
    fn days_follow_the_zone_over_a_daylight_saving_switch() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let day = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            let local = LocalTime::of(&zone, Timestamp::from_secs(at.as_second()));
            (local.day, local.hour_of_week % 24, local.hour_of_week / 24)
        };
        // 2026-10-25 has 25 hours; 2026-03-29 has 23. Both are Sundays.
        assert_eq!(day("2026-10-24T22:30:00Z"), day("2026-10-24T22:30:01Z"));
        assert_eq!((day("2026-10-24T22:30:00Z").1, day("2026-10-24T22:30:00Z").2), (0, 6));
        assert_eq!(day("2026-10-25T22:59:59Z").0, day("2026-10-24T22:30:00Z").0);
        assert_eq!(day("2026-10-25T23:00:00Z").0, day("2026-10-24T22:30:00Z").0 + 1);
        assert_eq!((day("2026-03-29T00:59:59Z").1, day("2026-03-29T01:00:00Z").1), (1, 3));
    }
}
