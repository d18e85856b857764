//! What a report says, gathered in one pass over the events of its range.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use jiff::tz::TimeZone;
use netstats_event::{DestinationId, Envelope, Event, Metric, PingMeasured, Position, Timestamp};
use netstats_series::{Row, RowDetail, RowStatus};
use netstats_stats::{Loss, SmoothedJitter, ipdv, mean_abs_ipdv};

use crate::limits::MAX_CHART_BUCKETS;
use crate::probes::{ProbeKey, ProbeReport};

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
    /// The last position that the report could know.
    pub position: Position,
    /// The log's chain value there, in hexadecimal: it proves every event up to it.
    pub chain: String,
}

/// Ping figures of one destination.
#[derive(Clone, Debug, Default)]
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
    /// Slots by outcome.
    pub slots: Slots,
    /// Mean |IPDV| of each burst, summed, and how many.
    jitter_sum_ms: f64,
    jitter_pairs: u64,
    smoothed: SmoothedJitter,
    /// Round trips in microseconds by time bucket.
    pub buckets: BTreeMap<u32, Vec<u32>>,
    /// Lost packets by time bucket: sent, lost.
    pub bucket_loss: BTreeMap<u32, Loss>,
    /// Slots by local day (days since 1970).
    pub days: BTreeMap<i32, Slots>,
    /// Burst medians in microseconds by weekday (0 is Monday) and hour: index weekday * 24 + hour.
    pub week: BTreeMap<usize, Vec<u32>>,
    /// Spans without a single reply.
    pub outages: Vec<Outage>,
    open_outage: Option<Outage>,
    last_good: Option<Timestamp>,
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
    pub fn availability(self) -> Option<f64> {
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

/// A span in which a destination did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The last slot that was answered before, if any.
    pub last_good: Option<Timestamp>,
    /// The first slot without an answer.
    pub from: Timestamp,
    /// The first slot with an answer again; none if the range ends before.
    pub to: Option<Timestamp>,
    /// Slots without an answer.
    pub slots: u64,
    /// How the first of them ended.
    pub cause: RowStatus,
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
#[derive(Clone, Debug)]
pub struct Report {
    /// What it is about.
    pub head: ReportHead,
    /// Ping figures by destination.
    pub destinations: BTreeMap<DestinationId, DestinationReport>,
    /// Route versions in the order in which they were first seen.
    pub paths: Vec<PathVersion>,
    /// DNS, bandwidth, TCP and HTTP.
    pub probes: BTreeMap<ProbeKey, ProbeReport>,
    /// Width of the time buckets.
    pub bucket: Duration,
    /// Rows by metric.
    pub rows: BTreeMap<Metric, u64>,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(head: ReportHead) -> Self {
        let bucket = bucket_width(head.range.end.since(head.range.start));
        Self {
            head,
            destinations: BTreeMap::new(),
            paths: Vec::new(),
            probes: BTreeMap::new(),
            bucket,
            rows: BTreeMap::new(),
        }
    }

    /// Takes up an event and its rows. Events of one destination come in the order of their slots.
    pub fn add(&mut self, envelope: &Envelope, rows: &[Row], name: &str, host: &str) {
        for row in rows {
            *self.rows.entry(row.metric).or_default() += 1;
            if let Some(key) = ProbeReport::key_of(row) {
                let probe = self.probes.entry(key).or_default();
                if probe.name.is_empty() {
                    name.clone_into(&mut probe.name);
                }
                probe.add(row, &envelope.event);
            }
        }
        if let Some(row) = rows.iter().find(|row| matches!(row.detail, RowDetail::Traceroute { .. })) {
            self.add_path(envelope, row);
        }
        let Some(row) =
            rows.iter().find(|row| matches!(row.metric, Metric::Ping | Metric::PacketLoss | Metric::Jitter))
        else {
            return;
        };
        let index = self.bucket_index(row.at);
        let local = LocalTime::of(&self.head.time_zone, row.at);
        let destination = self.destinations.entry(row.destination).or_default();
        if destination.name.is_empty() {
            name.clone_into(&mut destination.name);
            host.clone_into(&mut destination.host);
        }
        destination.add_slot(row, &local);
        if let Event::PingMeasured(burst) = &envelope.event
            && row.status != RowStatus::Unknown
        {
            destination.add_burst(burst, index, &local);
        }
    }

    /// Closes what is still open.
    #[must_use]
    pub fn finish(mut self) -> Self {
        for destination in self.destinations.values_mut() {
            destination.outages.extend(destination.open_outage.take());
        }
        self
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
    fn add_slot(&mut self, row: &Row, local: &LocalTime) {
        self.slots.count(row.status);
        self.days.entry(local.day).or_default().count(row.status);
        match row.status {
            RowStatus::Success | RowStatus::Partial => {
                if let Some(mut outage) = self.open_outage.take() {
                    outage.to = Some(row.at);
                    self.outages.push(outage);
                }
                self.last_good = Some(row.at);
            }
            RowStatus::Timeout | RowStatus::Unreachable | RowStatus::Refused => {
                let last_good = self.last_good;
                let outage = self.open_outage.get_or_insert(Outage {
                    last_good,
                    from: row.at,
                    to: None,
                    slots: 0,
                    cause: row.status,
                });
                outage.slots += 1;
            }
            RowStatus::Error | RowStatus::Unknown => {}
        }
    }

    fn add_burst(&mut self, burst: &PingMeasured, bucket: u32, local: &LocalTime) {
        use netstats_event::Echo;
        let loss = self.bucket_loss.entry(bucket).or_default();
        for echo in burst.echoes.iter().filter(|echo| echo.is_sent()) {
            let lost = u64::from(!matches!(echo, Echo::Reply(_) | Echo::Late(_)));
            *loss = loss.plus(Loss { sent: 1, lost });
            self.loss = self.loss.plus(Loss { sent: 1, lost });
            self.late += u64::from(matches!(echo, Echo::Late(_)));
            self.current_loss_run = if lost == 1 { self.current_loss_run + 1 } else { 0 };
            self.longest_loss_run = self.longest_loss_run.max(self.current_loss_run);
        }
        if burst.head.flags.clock_suspect {
            return;
        }
        let delays = || burst.echoes.iter().map(|echo| echo.rtt().map(netstats_event::Rtt::as_millis_f64));
        if let Some(mean) = mean_abs_ipdv(delays()) {
            let pairs = ipdv(delays()).count() as u64;
            #[expect(clippy::cast_precision_loss, reason = "pairs of one burst")]
            let weight = pairs as f64;
            self.jitter_sum_ms += mean * weight;
            self.jitter_pairs += pairs;
        }
        delays().flatten().for_each(|delay| self.smoothed.add(delay));
        let mut burst_rtts: Vec<u32> =
            burst.echoes.iter().filter_map(|echo| echo.rtt().map(netstats_event::Rtt::as_micros)).collect();
        if burst_rtts.is_empty() {
            return;
        }
        self.buckets.entry(bucket).or_default().extend_from_slice(&burst_rtts);
        burst_rtts.sort_unstable();
        self.week.entry(local.hour_of_week).or_default().push(burst_rtts[burst_rtts.len() / 2]);
    }

    /// All round trips in milliseconds, ascending.
    #[must_use]
    pub fn sorted_ms(&self) -> Vec<f64> {
        let mut micros: Vec<u32> = self.buckets.values().flatten().copied().collect();
        micros.sort_unstable();
        micros.into_iter().map(|us| f64::from(us) / 1_000.0).collect()
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
