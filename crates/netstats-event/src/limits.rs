//! What an event may hold at most. Past a limit `encode` refuses; nothing is cut silently.

use crate::{EncodeError, Event};

/// Bytes of one event's payload.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Characters of a name, an actor, a tag.
pub const MAX_NAME_CHARS: usize = 128;
/// Characters of a description or a reason.
pub const MAX_TEXT_CHARS: usize = 4_096;
/// Characters of a host name (RFC 1035) or an address.
pub const MAX_HOST_CHARS: usize = 253;
/// Tags of one destination or job.
pub const MAX_TAGS: usize = 64;
/// Packets of one burst.
pub const MAX_BURST_PACKETS: usize = 1_000;
/// Hops of one traced route.
pub const MAX_HOPS: usize = 64;
/// Destinations named by one job, annotation or maintenance window.
pub const MAX_JOB_DESTINATIONS: usize = 10_000;

/// Refuses what is over a limit.
pub(crate) fn check(event: &Event) -> Result<(), EncodeError> {
    let within = |field, has: usize, limit: usize| {
        if has <= limit { Ok(()) } else { Err(EncodeError::OverLimit { field, has, limit }) }
    };
    let chars = |field, text: &str, limit| within(field, text.chars().count(), limit);
    let maybe = |field, text: &Option<String>, limit| text.as_deref().map_or(Ok(()), |text| chars(field, text, limit));
    let tags = |field, tags: &[String]| {
        within(field, tags.len(), MAX_TAGS)?;
        tags.iter().try_for_each(|tag| chars(field, tag, MAX_NAME_CHARS))
    };
    if let Some(meta) = event.meta() {
        chars("actor", &meta.actor, MAX_NAME_CHARS)?;
        maybe("reason", &meta.reason, MAX_TEXT_CHARS)?;
    }
    match event {
        Event::DestinationAdded(crate::DestinationAdded { spec, .. })
        | Event::DestinationChanged(crate::DestinationChanged { spec, .. }) => {
            chars("name", &spec.name, MAX_NAME_CHARS)?;
            chars("host", &spec.host, MAX_HOST_CHARS)?;
            maybe("display_name", &spec.display_name, MAX_NAME_CHARS)?;
            maybe("description", &spec.description, MAX_TEXT_CHARS)?;
            tags("tags", &spec.tags)
        }
        Event::JobAdded(crate::JobAdded { spec, .. }) | Event::JobChanged(crate::JobChanged { spec, .. }) => {
            chars("name", &spec.name, MAX_NAME_CHARS)?;
            maybe("description", &spec.description, MAX_TEXT_CHARS)?;
            tags("tags", &spec.tags)?;
            tags("destination_tags", &spec.destination_tags)?;
            within("destinations", spec.destinations.len(), MAX_JOB_DESTINATIONS)
        }
        Event::AnnotationAdded(crate::AnnotationAdded { spec, .. })
        | Event::AnnotationChanged(crate::AnnotationChanged { spec, .. }) => {
            chars("title", &spec.title, MAX_NAME_CHARS)?;
            maybe("text", &spec.text, MAX_TEXT_CHARS)?;
            tags("tags", &spec.tags)?;
            within("destinations", spec.destinations.len(), MAX_JOB_DESTINATIONS)
        }
        Event::MaintenanceAdded(crate::MaintenanceAdded { spec, .. })
        | Event::MaintenanceChanged(crate::MaintenanceChanged { spec, .. }) => {
            chars("title", &spec.title, MAX_NAME_CHARS)?;
            maybe("text", &spec.text, MAX_TEXT_CHARS)?;
            tags("destination_tags", &spec.destination_tags)?;
            within("destinations", spec.destinations.len(), MAX_JOB_DESTINATIONS)
        }
        Event::ExportJobCreated(crate::ExportJobCreated { spec, .. })
        | Event::ExportJobUpdated(crate::ExportJobUpdated { spec, .. }) => {
            chars("name", &spec.name, MAX_NAME_CHARS)?;
            maybe("title", &spec.title, MAX_NAME_CHARS)?;
            maybe("folder", &spec.folder, MAX_NAME_CHARS)?;
            tags("destination_tags", &spec.destination_tags)?;
            within("jobs", spec.jobs.len(), MAX_JOB_DESTINATIONS)?;
            within("destinations", spec.destinations.len(), MAX_JOB_DESTINATIONS)
        }
        Event::ExportRunFinished(event) => maybe("error", &event.run.error, MAX_TEXT_CHARS),
        Event::UserAdded(crate::UserAdded { spec, .. }) | Event::UserChanged(crate::UserChanged { spec, .. }) => {
            chars("name", &spec.name, MAX_NAME_CHARS)?;
            chars("password_hash", &spec.password_hash, MAX_TEXT_CHARS)
        }
        Event::TokenAdded(event) => chars("name", &event.spec.name, MAX_NAME_CHARS),
        Event::AccessDenied(event) => {
            chars("request", &event.request, MAX_TEXT_CHARS)?;
            chars("reason", &event.reason, MAX_TEXT_CHARS)
        }
        Event::PingMeasured(event) => within("echoes", event.echoes.len(), MAX_BURST_PACKETS),
        Event::RouteTraced(event) => within("hops", event.hops.len(), MAX_HOPS),
        Event::SlotFailed(event) => chars("detail", &event.detail, MAX_TEXT_CHARS),
        _ => Ok(()),
    }
}
