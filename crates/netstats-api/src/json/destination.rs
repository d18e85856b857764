//! A destination in JSON.

use netstats_event::{DestinationId, DestinationSpec, ManagedBy, ProbeKind};
use netstats_inventory::Destination;
use netstats_series::{DestinationLatest, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::shapes::{NameText, StatusWord, TagText};
use super::{Fields, Json, Time};
use crate::problem::Problem;

/// A destination on its way out.
#[derive(Serialize, ToSchema)]
#[schema(as = Destination)]
pub(crate) struct DestinationJson<'a> {
    id: u32,
    name: &'a str,
    host: &'a str,
    port: Option<u16>,
    display_name: Option<&'a str>,
    description: Option<&'a str>,
    tags: &'a [String],
    status: &'static str,
    managed_by: &'static str,
    #[serde(flatten)]
    history: Option<HistoryJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<LatestJson<'a>>,
}

/// When an entry came about; a description alone has none.
#[derive(Serialize, ToSchema)]
#[schema(as = History)]
pub(crate) struct HistoryJson {
    pub(crate) created_at: Time,
    pub(crate) updated_at: Time,
    pub(crate) position: u64,
}

/// How a destination does.
#[derive(Serialize, ToSchema)]
#[schema(as = Latest)]
struct LatestJson<'a> {
    status: &'static str,
    since: Option<Time>,
    last_sample_at: Option<Time>,
    /// The probe that the figures are of.
    probe: Option<&'static str>,
    response_time_ms: Option<f64>,
    packet_loss_percent: Option<f64>,
    jitter_ms: Option<f64>,
    position: Option<u64>,
    error: Option<&'a str>,
    #[serde(serialize_with = "millis")]
    #[schema(value_type = Vec<Option<f64>>)]
    recent: &'a [Option<u32>],
}

/// Microseconds in, milliseconds out, null for "nothing came back".
fn millis<S: serde::Serializer>(recent: &[Option<u32>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(recent.iter().map(|micros| micros.map(|micros| f64::from(micros) / 1_000.0)))
}

pub(crate) const fn managed_by(owner: ManagedBy) -> &'static str {
    match owner {
        ManagedBy::User => "user",
        ManagedBy::Config => "config",
    }
}

impl<'a> DestinationJson<'a> {
    /// Without `latest`.
    pub(crate) fn plain(destination: &'a Destination) -> Self {
        let history = HistoryJson {
            created_at: Time(destination.created_at),
            updated_at: Time(destination.updated_at),
            position: destination.changed.0,
        };
        Self { history: Some(history), ..Self::of_spec(destination.id, &destination.spec) }
    }

    /// A description alone.
    pub(crate) fn of_spec(id: DestinationId, spec: &'a DestinationSpec) -> Self {
        Self {
            id: id.0,
            name: &spec.name,
            host: &spec.host,
            port: spec.port,
            display_name: spec.display_name.as_deref(),
            description: spec.description.as_deref(),
            tags: &spec.tags,
            status: if spec.paused { "paused" } else { "active" },
            managed_by: managed_by(spec.managed_by),
            history: None,
            latest: None,
        }
    }

    /// With how it does; `is_stale` if what is known is too old to say.
    pub(crate) fn with_latest(
        destination: &'a Destination,
        latest: Option<&'a DestinationLatest>,
        is_stale: bool,
    ) -> Self {
        let mut json = Self::plain(destination);
        let status = match latest {
            _ if destination.spec.paused => "paused",
            Some(latest) if !is_stale => latest.status.name(),
            _ => Status::Unknown.name(),
        };
        // Old figures are shown with their time; a failure only while it is the last word.
        let failure = latest.and_then(|l| l.last_failure.as_ref().filter(|f| l.last_at.is_none_or(|at| f.at >= at)));
        json.latest = Some(LatestJson {
            status,
            since: latest.map(|latest| Time(latest.since)),
            last_sample_at: latest.and_then(|latest| latest.last_at).map(Time),
            probe: latest.and_then(|latest| latest.leading).map(ProbeKind::name),
            response_time_ms: latest.and_then(|latest| latest.response_time).map(|rtt| rtt.as_millis_f64()),
            packet_loss_percent: latest.and_then(|latest| latest.loss_ratio).map(super::percent),
            jitter_ms: latest.and_then(|latest| latest.jitter_ms),
            position: latest.and_then(|latest| latest.last_sample).map(|position| position.0),
            error: failure.map(|failure| failure.detail.as_str()),
            recent: latest.map_or(&[], |latest| latest.recent.as_slice()),
        });
        json
    }
}

/// A destination as a client describes it, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that `read_destination` reads field by field")]
pub(crate) struct DestinationInput {
    name: NameText,
    /// Address or host name.
    #[schema(min_length = 1, max_length = 253, examples("192.0.2.1", "www.example.com"))]
    host: String,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    #[schema(max_length = 128)]
    display_name: Option<String>,
    #[schema(max_length = 4096)]
    description: Option<String>,
    tags: Option<Vec<TagText>>,
    status: Option<StatusWord>,
}

/// Some fields of a destination; null takes one away.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a body that is merged into what is there")]
pub(crate) struct DestinationPatch {
    name: Option<NameText>,
    #[schema(min_length = 1, max_length = 253)]
    host: Option<String>,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    #[schema(max_length = 128)]
    display_name: Option<String>,
    #[schema(max_length = 4096)]
    description: Option<String>,
    tags: Option<Vec<TagText>>,
    status: Option<StatusWord>,
}

/// What a GET shows and a PUT may give back without meaning anything by it.
const SHOWN_ONLY: &[&str] = &["id", "managed_by", "created_at", "updated_at", "position", "latest"];

/// A destination as a client describes it. What is left out has its default.
pub(crate) fn read_destination(json: &Json) -> Result<DestinationSpec, Problem> {
    let mut fields = Fields::of(json, "")?.ignore(SHOWN_ONLY);
    let name = fields.required_text("name")?;
    let host = fields.required_text("host")?;
    let spec = DestinationSpec {
        name,
        host,
        port: match fields.number("port")? {
            Some(0) => return Err(fields.refuse("port", "is 0", "a whole number from 1 to 65535, or null")),
            port => port,
        },
        display_name: fields.text("display_name")?,
        description: fields.text("description")?,
        tags: fields.texts("tags")?.unwrap_or_default(),
        paused: fields
            .word("status", &["active", "paused"], |word| match word {
                "active" => Some(false),
                "paused" => Some(true),
                _ => None,
            })?
            .unwrap_or(false),
        managed_by: ManagedBy::User,
    };
    fields.done()?;
    Ok(spec)
}
