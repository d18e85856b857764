//! What Prometheus scrapes: how we do, and the latest that was measured. Base units; what was lost or is too old to say
//! anything is absent, never 0.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderValue, VARY};
use netstats_event::{ProbeKind, Timestamp};
use netstats_inventory::Destination;
use netstats_series::{DestinationLatest, ProbeLatest, RowStatus, Status};

use crate::app::App;
use crate::command::blocking;
use crate::context::Report;
use crate::exposition::{Exposition, Kind, Labels};
use crate::limits::MAX_LIST;
use crate::moment::Moment;
use crate::problem::Problem;
use crate::reply::Reply;
use crate::route::Call;
use crate::routes::destinations::{freshness, is_stale};

const STATUSES: [Status; 4] = [Status::Up, Status::Degraded, Status::Down, Status::Unknown];

/// `GET /metrics`
pub(crate) async fn scrape(app: Arc<App>, call: Call) -> Result<Reply, Problem> {
    // One at a time: a scrape of all destinations is megabytes.
    let turn = app.scrapes.clone().acquire_owned().await.map_err(|_| Problem::internal())?;
    let out = Exposition::accepted(call.headers.get(ACCEPT));
    let content_type = out.content_type();
    let text = blocking(move || {
        let _turn = turn;
        expose(&app, out)
    })
    .await?;
    Ok(Reply::new(StatusCode::OK).body(content_type, text).header(VARY, HeaderValue::from_static("accept")))
}

fn expose(app: &App, mut out: Exposition) -> String {
    let report = (app.context.report)();
    ourselves(app, &report, &mut out);
    log(app, &mut out);
    collector(&report, &mut out);
    let moment = Moment::present(app);
    let latest = app.context.series.latest_all();
    let measured = Measured::of(app, &moment, &latest);
    measured.write(&mut out);
    out.finish()
}

#[expect(clippy::cast_precision_loss, reason = "the format knows floating point only; positions are far below 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}

const fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^53")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1e3
}

fn ourselves(app: &App, report: &Report, out: &mut Exposition) {
    let version = Labels::one("version", app.context.version);
    out.family(Kind::Gauge, "network_stats_build_info", "The program's version.").sample(&version, 1.0);
    out.family(Kind::Gauge, "network_stats_start_time_seconds", "When the server started, since 1970.")
        .value(seconds(app.started_at));
    if let Some(bytes) = report.resident_bytes {
        out.family(Kind::Gauge, "process_resident_memory_bytes", "Memory of the process that is in RAM.")
            .value(number(bytes));
    }
    let subscriptions = app.context.broadcaster.subscriptions() as u64;
    out.family(Kind::Gauge, "network_stats_live_subscriptions", "Subscriptions of clients to live updates.")
        .value(number(subscriptions));
}

fn log(app: &App, out: &mut Exposition) {
    let (journal, last) = (&app.context.journal, app.context.journal.head().last);
    out.family(Kind::Gauge, "network_stats_log_first_position", "The oldest event kept.")
        .value(number(journal.first().0));
    out.family(Kind::Gauge, "network_stats_log_last_position", "The newest event.").value(number(last));
    out.family(Kind::Gauge, "network_stats_journal_queued_events", "Events that wait for the next commit.")
        .value(number(journal.queued() as u64));
    out.family(Kind::Gauge, "network_stats_journal_refusing", "1 while nothing can be written.")
        .value(flag(journal.refusal().is_some()));
    let latency = journal.append_latency();
    out.family(Kind::Histogram, "network_stats_append_seconds", "From a batch's submission until it was durable.");
    for (edge, count) in &latency.steps {
        out.part("_bucket", &Labels::one("le", &format!("{:?}", edge.as_secs_f64())), number(*count));
    }
    out.part("_bucket", &Labels::one("le", "+Inf"), number(latency.batches))
        .part("_sum", &Labels::default(), latency.total.as_secs_f64())
        .part("_count", &Labels::default(), number(latency.batches));
    let views: Vec<_> =
        app.context.runner.progress().into_iter().map(|view| (Labels::one("projector", view.name), view)).collect();
    out.family(Kind::Gauge, "network_stats_projector_position", "The last event that a view shows.");
    for (labels, view) in &views {
        out.sample(labels, number(view.visible.0));
    }
    out.family(Kind::Gauge, "network_stats_projector_lag_events", "Events of the log that a view does not show yet.");
    for (labels, view) in &views {
        out.sample(labels, number(last.saturating_sub(view.visible.0)));
    }
    out.family(Kind::Gauge, "network_stats_projector_failing", "1 while a view stands still.");
    for (labels, view) in &views {
        out.sample(labels, flag(view.failure.is_some()));
    }
}

fn collector(report: &Report, out: &mut Exposition) {
    let it = &report.collector;
    out.family(
        Kind::Gauge,
        "network_stats_problems",
        "Problems that the health report tells of collector and machine.",
    )
    .value(number(report.problems.len() as u64));
    out.family(Kind::Gauge, "network_stats_collector_running", "1 while slots are taken.").value(flag(it.running));
    let gauges = [
        ("network_stats_collector_planned", "Combinations of job, destination and probe that are planned.", it.planned),
        ("network_stats_probes_in_flight", "Probes under way.", it.in_flight),
        ("network_stats_slots_queued", "Slots due that wait for a worker.", it.queued),
        ("network_stats_unrecorded_events", "Outcomes that wait for the journal.", it.unrecorded),
    ];
    for (name, help, value) in gauges {
        out.family(Kind::Gauge, name, help).value(number(value as u64));
    }
    let counters = [
        ("network_stats_slots_run_total", "Slots run since the start.", it.slots_run),
        ("network_stats_slots_failed_total", "Slots run that failed on our side.", it.slots_failed),
        ("network_stats_slots_missed_total", "Slots that were not run.", it.slots_missed),
        ("network_stats_dropped_events_total", "Outcomes given up: the journal refused for too long.", it.dropped),
    ];
    for (name, help, value) in counters {
        out.family(Kind::Counter, name, help).value(number(value));
    }
    if it.slots_run > 0 {
        out.family(Kind::Summary, "network_stats_probe_lateness_seconds", "How late the last runs began.");
        for (quantile, ms) in [("0.5", it.lateness_p50_ms), ("0.95", it.lateness_p95_ms), ("0.99", it.lateness_p99_ms)]
        {
            out.sample(&Labels::one("quantile", quantile), ms / 1e3);
        }
    }
}

/// A destination and what is known of it, while that is new enough to say something.
struct Whole<'a> {
    labels: Labels,
    status: Status,
    destination: &'a Destination,
}

/// A probe of a job on a destination.
struct Part<'a> {
    labels: Labels,
    latest: &'a ProbeLatest,
    /// It is as new as the job's interval promises, and our own network was up.
    says_something: bool,
}

struct Measured<'a> {
    destinations: Vec<Whole<'a>>,
    probes: Vec<Part<'a>>,
    /// Probes beyond the limit.
    left_out: usize,
    uplink_is_lost: bool,
}

impl<'a> Measured<'a> {
    fn of(app: &App, moment: &'a Moment, latest: &'a [DestinationLatest]) -> Self {
        let (inventory, now) = (&moment.inventory, moment.now);
        let by_id: BTreeMap<_, _> = latest.iter().map(|latest| (latest.destination, latest)).collect();
        let intervals = freshness(inventory, now);
        let mut all = Self {
            destinations: Vec::new(),
            probes: Vec::new(),
            left_out: 0,
            uplink_is_lost: app.context.series.uplink_lost_since().is_some(),
        };
        for destination in inventory.destinations.values().take(MAX_LIST) {
            let latest = by_id.get(&destination.id).copied();
            let tags = destination.spec.tags.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(",");
            let labels = Labels::one("destination", &destination.spec.name).and("tags", &tags);
            let last_at = latest.and_then(|latest| latest.last_at);
            let is_old = is_stale(last_at, intervals.get(&destination.id).copied(), now);
            let status = latest.filter(|_| !is_old && !destination.spec.paused).map(|latest| latest.status);
            for probe in latest.map_or(&[][..], |latest| &latest.probes) {
                let Some(job) = inventory.jobs.get(&probe.job) else { continue };
                if all.probes.len() >= app.context.limits.scraped_probes {
                    all.left_out += 1;
                    continue;
                }
                let labels = labels.and("job", &job.spec.name).and("probe", probe.probe.name());
                let is_old = is_stale(Some(probe.slot_at), Some(job.spec.interval_s), now);
                let says_something = !is_old && probe.row_status != RowStatus::Unknown;
                all.probes.push(Part { labels, latest: probe, says_something });
            }
            all.destinations.push(Whole { labels, status: status.unwrap_or_default(), destination });
        }
        all
    }

    fn write(&self, out: &mut Exposition) {
        out.family(Kind::Gauge, "network_stats_uplink_lost", "1 while our own network is down.")
            .value(flag(self.uplink_is_lost));
        out.family(Kind::Gauge, "network_stats_scrape_left_out", "Probes left out of this answer: there are too many.")
            .value(number(self.left_out as u64));
        out.family(Kind::Gauge, "network_stats_destination_paused", "1 while a destination is not measured.");
        for whole in &self.destinations {
            out.sample(&whole.labels, flag(whole.destination.spec.paused));
        }
        out.family(Kind::Gauge, "network_stats_destination_status", "1 for the status that a destination has.");
        for (whole, status) in self.destinations.iter().flat_map(|whole| STATUSES.map(|status| (whole, status))) {
            out.sample(&whole.labels.and("status", status.name()), flag(whole.status == status));
        }
        self.figure(out, "network_stats_packet_loss_ratio", "Lost share of the last burst, 0 to 1.", |it| {
            it.loss_ratio
        });
        self.figure(out, "network_stats_jitter_seconds", "Mean difference of neighbouring round trips.", |it| {
            it.jitter_ms.map(|ms| ms / 1e3)
        });
        self.figure(out, "network_stats_response_time_seconds", "The last answer of a probe other than ping.", |it| {
            it.response_time.filter(|_| it.probe != ProbeKind::Ping).map(|rtt| rtt.as_millis_f64() / 1e3)
        });
        out.family(Kind::Gauge, "network_stats_rtt_seconds", "Round trip of the last burst.");
        for part in self.probes.iter().filter(|part| part.says_something && part.latest.probe == ProbeKind::Ping) {
            if let Some(rtt) = part.latest.response_time {
                out.sample(&part.labels.and("stat", "median"), rtt.as_millis_f64() / 1e3);
            }
        }
        out.family(Kind::Counter, "network_stats_samples_total", "Samples since the first.");
        for part in &self.probes {
            out.sample(&part.labels, number(part.latest.samples));
        }
        out.family(Kind::Gauge, "network_stats_last_slot_timestamp_seconds", "The newest outcome's slot, since 1970.");
        for part in &self.probes {
            out.sample(&part.labels, seconds(part.latest.slot_at));
        }
    }

    fn figure(
        &self,
        out: &mut Exposition,
        name: &'static str,
        help: &'static str,
        of: impl Fn(&ProbeLatest) -> Option<f64>,
    ) {
        out.family(Kind::Gauge, name, help);
        for part in self.probes.iter().filter(|part| part.says_something) {
            if let Some(value) = of(part.latest) {
                out.sample(&part.labels, value);
            }
        }
    }
}
