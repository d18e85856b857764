//! Events in JSON: what a WebSocket update and a line of the audit trail say.

use netstats_event::{
    AnnotationId, AnnotationSpec, BandwidthMeasured, DestinationSpec, Envelope, Event, ExportId, ExportSpec,
    FailReason, JobSpec, Kind, MaintenanceId, MaintenanceSpec, Meta, Metric, MissReason, ProbeKind, SuppressReason,
};
use netstats_export::{JsonStyle, JsonWriter, Line, columns_for};
use netstats_inventory::Inventory;
use netstats_series::rows_of;
use serde::Serialize;
use serde_json::{Value, json};

use super::{AccountingJson, AnnotationJson, DestinationJson, ExportJson, JobJson, MaintenanceJson, RunJson, Time};

/// The update of an event, as one line of JSON: what `/ws` sends and `log dump` prints. `inventory` gives the names.
#[must_use]
pub fn update_text(envelope: &Envelope, inventory: &Inventory) -> String {
    #[derive(Serialize)]
    struct Head {
        #[serde(rename = "type")]
        kind: &'static str,
        position: u64,
        recorded_at: Time,
        #[serde(rename = "kind")]
        event: &'static str,
        job_id: Option<u32>,
        destination_id: Option<u32>,
    }
    let event = &envelope.event;
    let head = Head {
        kind: "update",
        position: envelope.position.0,
        recorded_at: Time(envelope.recorded_at),
        event: event.name(),
        job_id: event.job().map(|id| id.0),
        destination_id: event.destination().map(|id| id.0),
    };
    let mut text = serde_json::to_vec(&head).expect("numbers and texts serialise");
    text.pop();
    match row_text(envelope, inventory) {
        Some(row) => {
            text.extend_from_slice(b",\"row\":");
            text.extend_from_slice(&row);
        }
        None => {
            text.extend_from_slice(b",\"data\":");
            serde_json::to_writer(&mut text, &event_data(event, inventory)).expect("a JSON value serialises");
        }
    }
    text.push(b'}');
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// The flat row of a slot's outcome, for the first metric of its probe that the job asks for.
pub(crate) fn row_text(envelope: &Envelope, inventory: &Inventory) -> Option<Vec<u8>> {
    let (head, probe) = (envelope.event.head()?, envelope.event.probe()?);
    let job = inventory.jobs.get(&head.job);
    let metric = job
        .and_then(|job| job.spec.metrics.iter().copied().find(|metric| metric.probe() == probe))
        .or_else(|| Metric::ALL.into_iter().find(|metric| metric.probe() == probe))?;
    let row = rows_of(envelope, &[metric]).into_iter().next()?;
    let destination = inventory.destinations.get(&head.destination);
    let line = Line {
        row: &row,
        job: job.map_or("", |job| job.spec.name.as_str()),
        destination: destination.map_or("", |destination| destination.spec.name.as_str()),
    };
    let mut writer = JsonWriter::new(Vec::with_capacity(1_024), columns_for(&[metric]), JsonStyle::Lines).ok()?;
    writer.write(&line).ok()?;
    let mut text = writer.finish().ok()?;
    text.pop();
    Some(text)
}

/// What an event says, besides its position, kind and ids.
pub(crate) fn event_data(event: &Event, inventory: &Inventory) -> Value {
    match event {
        Event::DestinationAdded(e) => destination(&e.spec, e.id, &e.meta),
        Event::DestinationChanged(e) => destination(&e.spec, e.id, &e.meta),
        Event::DestinationRemoved(e) => by(&e.meta, json!({})),
        Event::JobAdded(e) => job(&e.spec, e.id, &e.meta, inventory),
        Event::JobChanged(e) => job(&e.spec, e.id, &e.meta, inventory),
        Event::JobRemoved(e) => by(&e.meta, json!({})),
        Event::JobStarted(e) => by(&e.meta, json!({})),
        Event::JobStopped(e) => by(&e.meta, json!({})),
        Event::ConfigApplied(e) => by(&e.meta, json!({"digest": hex(&e.digest), "starter": e.starter})),
        Event::AnnotationAdded(e) => annotation(&e.spec, e.id, &e.meta, inventory),
        Event::AnnotationChanged(e) => annotation(&e.spec, e.id, &e.meta, inventory),
        Event::AnnotationRemoved(e) => by(&e.meta, json!({"annotation": {"id": e.id.0}})),
        Event::MaintenanceAdded(e) => maintenance(&e.spec, e.id, &e.meta, inventory),
        Event::MaintenanceChanged(e) => maintenance(&e.spec, e.id, &e.meta, inventory),
        Event::MaintenanceRemoved(e) => by(&e.meta, json!({"maintenance": {"id": e.id.0}})),
        Event::ExportJobCreated(e) => export(&e.spec, e.id, &e.meta, inventory),
        Event::ExportJobUpdated(e) => export(&e.spec, e.id, &e.meta, inventory),
        Event::ExportJobDeleted(e) => by(&e.meta, json!({"export": {"id": e.id.0}})),
        Event::ExportRunFinished(e) => {
            by(&e.meta, json!({"export_id": e.id.0, "run": RunJson::of_event(&e.run, &e.meta)}))
        }
        Event::ExportRunRequested(e) => by(&e.meta, json!({"export_id": e.id.0})),
        Event::AccountingChanged(e) => by(&e.meta, json!({"accounting": AccountingJson::of(&e.spec)})),
        // Hashes stay in the log: nobody at a door needs them.
        Event::UserAdded(e) => by(&e.meta, json!({"user_id": e.id.0, "name": e.spec.name, "role": e.spec.role.name()})),
        Event::UserChanged(e) => {
            by(&e.meta, json!({"user_id": e.id.0, "name": e.spec.name, "role": e.spec.role.name()}))
        }
        Event::UserRemoved(e) => by(&e.meta, json!({"user_id": e.id.0})),
        Event::TokenAdded(e) => by(
            &e.meta,
            json!({"token_id": e.id.0, "user_id": e.spec.user.0, "name": e.spec.name,
            "role": e.spec.role.name(), "expires_at": e.spec.expires_at.map(Time)}),
        ),
        Event::TokenRevoked(e) => by(&e.meta, json!({"token_id": e.id.0})),
        Event::SessionStarted(e) => by(
            &e.meta,
            json!({"session_id": e.id.0, "user_id": e.user.0, "address": e.address,
            "expires_at": Time(e.expires_at)}),
        ),
        Event::SessionEnded(e) => by(&e.meta, json!({"session_id": e.id.0})),
        Event::AccessDenied(e) => by(
            &e.meta,
            json!({"address": e.address, "request": e.request, "why": e.reason,
            "count": e.count}),
        ),
        Event::SlotFailed(e) => json!({"probe": e.probe.name(), "slot_at": Time(e.head.slot_at),
            "reason": fail_reason(e.reason), "detail": e.detail}),
        Event::SlotsMissed(e) => slots(e.probe, e.first_slot_at, e.last_slot_at, e.count, miss_reason(e.reason)),
        Event::SlotsSuppressed(e) => {
            slots(e.probe, e.first_slot_at, e.last_slot_at, e.count, suppress_reason(e.reason))
        }
        Event::CollectorStarted(e) => json!({"version": e.version, "boot_id": e.boot_id, "host": e.host,
            "system": e.system, "after_crash": e.is_after_crash, "last_seen": e.last_seen.map(Time)}),
        Event::CollectorStopped(e) => json!({"reason": e.reason}),
        Event::ClockStepped(e) => {
            json!({"by_ms": millis(e.by_ns.unsigned_abs()) * if e.by_ns < 0 { -1.0 } else { 1.0 }})
        }
        Event::HostSlept(e) => json!({"for_ms": millis(e.for_ns)}),
        Event::CollectorStalled(e) => json!({"for_ms": millis(e.for_ns)}),
        Event::UplinkLost(e) => json!({"reason": e.reason, "gateway": e.gateway}),
        Event::UplinkRestored(e) => json!({"gateway": e.gateway}),
        Event::SamplesLost(e) => json!({"count": e.count, "from": Time(e.from), "to": Time(e.to), "reason": e.reason}),
        Event::AnswerChanged(e) => json!({"host": e.host, "before": e.before, "after": e.after}),
        Event::PathChanged(e) => json!({"before": e.before, "after": e.after}),
        Event::SamplesSummarised(e) => json!({"first": e.first.0, "last": e.last.0,
            "kinds": e.kinds.iter().map(|code| Kind::from_code(*code).map_or("unknown", Kind::name)).collect::<Vec<_>>(),
            "samples": e.samples, "digest": hex(&e.digest),
            "bytes_before": e.bytes_before, "bytes_after": e.bytes_after}),
        Event::Summarised(_)
        | Event::PingMeasured(_)
        | Event::RouteTraced(_)
        | Event::NameResolved(_)
        | Event::BandwidthMeasured(BandwidthMeasured { .. })
        | Event::TcpMeasured(_)
        | Event::HttpMeasured(_)
        | Event::Unknown { .. } => json!({}),
    }
}

fn destination(spec: &DestinationSpec, id: netstats_event::DestinationId, meta: &Meta) -> Value {
    by(meta, json!({"destination": DestinationJson::of_spec(id, spec)}))
}

fn job(spec: &JobSpec, id: netstats_event::JobId, meta: &Meta, inventory: &Inventory) -> Value {
    by(meta, json!({"job": JobJson::of_spec(id, spec, inventory)}))
}

fn annotation(spec: &AnnotationSpec, id: AnnotationId, meta: &Meta, inventory: &Inventory) -> Value {
    by(meta, json!({"annotation": AnnotationJson::of_spec(id, spec, inventory)}))
}

fn maintenance(spec: &MaintenanceSpec, id: MaintenanceId, meta: &Meta, inventory: &Inventory) -> Value {
    by(meta, json!({"maintenance": MaintenanceJson::of_spec(id, spec, inventory)}))
}

fn export(spec: &ExportSpec, id: ExportId, meta: &Meta, inventory: &Inventory) -> Value {
    by(meta, json!({"export": ExportJson::of_spec(id, spec, inventory)}))
}

fn by(meta: &Meta, mut data: Value) -> Value {
    data["actor"] = json!(meta.actor);
    data["reason"] = json!(meta.reason);
    data
}

fn slots(
    probe: ProbeKind,
    first: netstats_event::Timestamp,
    last: netstats_event::Timestamp,
    count: u32,
    reason: &str,
) -> Value {
    json!({"probe": probe.name(), "first_slot_at": Time(first), "last_slot_at": Time(last), "count": count, "reason": reason})
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const fn fail_reason(reason: FailReason) -> &'static str {
    match reason {
        FailReason::NotPermitted => "not_permitted",
        FailReason::NameNotResolved => "name_not_resolved",
        FailReason::NoRoute => "no_route",
        FailReason::Socket => "socket",
        FailReason::BadOptions => "bad_options",
        FailReason::Denied => "denied",
        FailReason::Internal => "internal",
    }
}

const fn miss_reason(reason: MissReason) -> &'static str {
    match reason {
        MissReason::Overrun => "overrun",
        MissReason::QueueFull => "queue_full",
        MissReason::HostSlept => "host_slept",
        MissReason::CollectorDown => "collector_down",
        MissReason::Stalled => "stalled",
        MissReason::ClockStepped => "clock_stepped",
    }
}

const fn suppress_reason(reason: SuppressReason) -> &'static str {
    match reason {
        SuppressReason::UplinkDown => "uplink_down",
        SuppressReason::Budget => "budget",
        SuppressReason::OwnLoad => "own_load",
        SuppressReason::DiskFull => "disk_full",
    }
}
