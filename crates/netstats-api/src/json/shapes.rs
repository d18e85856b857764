//! What a text or number may be, for the OpenAPI document: names, tags, durations, words of fixed sets. The readers and
//! `netstats-inventory` do the checking; the sets are theirs.

use std::borrow::Cow;

use netstats_event::{MAX_NAME_CHARS, Metric, Role};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::account::{MAINTENANCE, OBSERVER_OUTAGES};
use super::export::FORMATS;
use super::job::DAYS;
use super::options::{direction, dns_transport, engine, family, traceroute_protocol};

/// Control characters are in no name, parameter or path.
pub(crate) const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// Not the others that `netstats_inventory` keeps out of names either; and something in it that is neither a digit nor
/// a space.
const NAME: &str = concat!(
    r"^[^/\\?#%,\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*",
    r"[^/\\?#%,\s0-9.\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]",
    r"[^/\\?#%,\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*$"
);
const DURATION: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";
const CLOCK: &str = "^([01][0-9]|2[0-4]):[0-5][0-9]$";

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

macro_rules! shapes {
    ($($(#[doc = $says:literal])* $shape:ident, $name:literal = $schema:expr;)*) => {
        $(
            $(#[doc = $says])*
            pub(crate) struct $shape;

            impl PartialSchema for $shape {
                fn schema() -> RefOr<Schema> {
                    let says = [$($says),*].map(str::trim).join(" ");
                    $schema.description(Some(says)).into()
                }
            }

            impl ToSchema for $shape {
                fn name() -> Cow<'static, str> {
                    $name.into()
                }
            }
        )*
    };
}

shapes! {
    /// Unique, whatever its case; not all digits.
    NameText, "Name" = text().min_length(Some(1)).max_length(Some(MAX_NAME_CHARS)).pattern(Some(NAME));
    /// Kept in lower case.
    TagText, "Tag" = text().min_length(Some(1)).max_length(Some(MAX_NAME_CHARS)).pattern(Some(NO_CONTROL));
    /// By name or id.
    NameOrId, "NameOrId" = OneOfBuilder::new()
        .item(text().min_length(Some(1)))
        .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)));
    /// As `90s`, `5m`, `1h30m`, `1d`.
    DurationText, "Duration" = text().min_length(Some(2)).pattern(Some(DURATION)).examples(["60s", "1h30m"]);
    /// Time of day, `08:30`.
    ClockText, "Clock" = text().pattern(Some(CLOCK)).examples(["08:30"]);
    /// Day of the week.
    DayWord, "Day" = text().enum_values(Some(DAYS));
    /// What a job measures.
    MetricWord, "Metric" = text().enum_values(Some(Metric::ALL.map(Metric::name)));
    /// What a test by hand measures.
    TestedWord, "TestedMetric" =
        text().enum_values(Some(Metric::ALL.map(Metric::name).into_iter().filter(|name| *name != "bandwidth")));
    /// What somebody may do; each includes those before it.
    RoleWord, "Role" = text().enum_values(Some(Role::ALL.map(Role::name)));
    /// Whether a destination is measured.
    StatusWord, "MeasuredOrNot" = text().enum_values(Some(["active", "paused"]));
    /// What a file is.
    FormatWord, "FileFormat" = text().enum_values(Some(FORMATS));
    /// What time within planned windows counts as.
    MaintenanceWord, "MaintenanceAccounting" = text().enum_values(Some(MAINTENANCE));
    /// What the observer's own outages count as.
    OutagesWord, "ObserverAccounting" = text().enum_values(Some(OBSERVER_OUTAGES.map(|(name, _)| name)));
    /// Which addresses of a name are used.
    FamilyWord, "AddressFamily" = text().enum_values(Some(family::ALL.iter().copied()));
    /// What a trace sends.
    ProtocolWord, "TracerouteProtocol" = text().enum_values(Some(traceroute_protocol::ALL.iter().copied()));
    /// How a DNS server is asked.
    TransportWord, "DnsTransport" = text().enum_values(Some(dns_transport::ALL.iter().copied()));
    /// Who measures bandwidth.
    EngineWord, "BandwidthEngine" = text().enum_values(Some(engine::ALL.iter().copied()));
    /// Which ways are measured.
    DirectionWord, "BandwidthDirection" = text().enum_values(Some(direction::ALL.iter().copied()));
    /// How a URL is asked.
    MethodWord, "HttpMethod" = text().enum_values(Some(["GET", "HEAD"]));
}
