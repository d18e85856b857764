//! The flat row's columns: one list for every door. Names, order and units are those of `docs/METRICS.md`.

use std::borrow::Cow;
use std::net::IpAddr;

use netstats_event::{Metric, Timestamp};
use netstats_series::{Row, RowDetail};
use netstats_stats::bufferbloat_grade;

/// A value in a cell. What is undefined is `Empty` at every door: never 0, never an empty text in its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Undefined.
    Empty,
    /// Text, as it is: each format guards it in its own way.
    Text(Cow<'a, str>),
    /// A count or an id.
    Count(u64),
    /// A real number, finite.
    Real(f64),
    /// Yes or no.
    Truth(bool),
    /// A moment.
    Time(Timestamp),
    /// An address.
    Address(IpAddr),
}

impl<T> From<Option<T>> for Cell<'_>
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Empty, Cell::from)
    }
}

macro_rules! cell_from {
    ($($from:ty => $value:ident $cell:expr;)*) => {
        $(impl<'a> From<$from> for Cell<'a> {
            fn from($value: $from) -> Self {
                $cell
            }
        })*
    };
}

cell_from! {
    &'a str => value Cell::Text(Cow::Borrowed(value));
    String => value Cell::Text(Cow::Owned(value));
    u64 => value Cell::Count(value);
    u32 => value Cell::Count(u64::from(value));
    u16 => value Cell::Count(u64::from(value));
    u8 => value Cell::Count(u64::from(value));
    bool => value Cell::Truth(value);
    Timestamp => value Cell::Time(value);
    IpAddr => value Cell::Address(value);
    f64 => value if value.is_finite() { Cell::Real(value) } else { Cell::Empty };
}

/// A row with the names that its ids had.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The row.
    pub row: &'a Row,
    /// The job's name.
    pub job: &'a str,
    /// The destination's name.
    pub destination: &'a str,
}

/// How a column is shown where formats have looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Left-aligned text.
    Text,
    /// Whole number.
    Count,
    /// Milliseconds with three decimals.
    Millis,
    /// Percent, as a number from 0 to 100 with two decimals.
    Percent,
    /// Megabits a second with two decimals.
    Rate,
    /// Date and time with milliseconds.
    Time,
    /// Yes or no.
    Truth,
}

/// One column.
#[derive(Clone, Copy)]
pub struct Column {
    /// Its name at every door.
    pub name: &'static str,
    /// How it is shown.
    pub look: Look,
    /// Characters that its values usually take.
    pub width: u8,
    /// Its value in a line.
    pub value: for<'a> fn(&Line<'a>) -> Cell<'a>,
    /// The metrics that have it; empty for all.
    pub metrics: &'static [Metric],
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const PING: &[Metric] = &[Metric::Ping, Metric::PacketLoss, Metric::Jitter];

macro_rules! columns {
    ($($name:literal, $look:ident, $width:literal, $metrics:expr, $line:ident => $value:expr;)*) => {
        /// All columns, in order.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: $name,
            look: Look::$look,
            width: $width,
            value: |$line| Cell::from($value),
            metrics: $metrics,
        },)*];
    };
}

macro_rules! own {
    ($line:ident, $kind:ident, $field:ident => $value:expr) => {
        match &$line.row.detail {
            RowDetail::$kind { $field, .. } => Cell::from($value),
            _ => Cell::Empty,
        }
    };
}

columns! {
    "timestamp", Time, 23, &[], line => line.row.at;
    "position", Count, 10, &[], line => line.row.position.0;
    "job_id", Count, 7, &[], line => line.row.job.0;
    "job", Text, 18, &[], line => line.job;
    "destination_id", Count, 8, &[], line => line.row.destination.0;
    "destination", Text, 22, &[], line => line.destination;
    "metric", Text, 12, &[], line => line.row.metric.name();
    "status", Text, 12, &[], line => line.row.status.name();
    "response_time_ms", Millis, 12, &[], line => line.row.rtt_ms;
    "min_ms", Millis, 10, &[], line => line.row.min_ms;
    "mean_ms", Millis, 10, &[], line => line.row.mean_ms;
    "max_ms", Millis, 10, &[], line => line.row.max_ms;
    "stddev_ms", Millis, 10, &[], line => line.row.stddev_ms;
    "p95_ms", Millis, 10, &[], line => line.row.p95_ms;
    "jitter_ms", Millis, 10, &[], line => line.row.jitter_ms;
    "packet_loss_percent", Percent, 12, &[], line => line.row.loss_ratio.map(|ratio| ratio * 100.0);
    "packets_sent", Count, 9, &[], line => line.row.sent;
    "packets_received", Count, 9, &[], line => line.row.received;
    "packets_late", Count, 9, PING, line => own!(line, Ping, late => *late);
    "packets_not_sent", Count, 9, PING, line => own!(line, Ping, not_sent => *not_sent);
    "packets_duplicated", Count, 9, PING, line => own!(line, Ping, duplicates => *duplicates);
    "longest_loss_run", Count, 9, PING, line => own!(line, Ping, longest_loss_run => *longest_loss_run);
    "ttl", Count, 5, PING, line => own!(line, Ping, ttl => *ttl);
    "hop_count", Count, 7, &[Metric::Traceroute], line => own!(line, Traceroute, hop_count => *hop_count);
    "path_hash", Text, 18, &[Metric::Traceroute], line => own!(line, Traceroute, path_hash => format!("{path_hash:016x}"));
    "reached", Truth, 8, &[Metric::Traceroute], line => own!(line, Traceroute, reached => *reached);
    "dns_name", Text, 24, &[Metric::Dns], line => own!(line, Dns, name => name.as_str());
    "dns_record_type", Text, 8, &[Metric::Dns], line => own!(line, Dns, record_type => record_type.as_str());
    "dns_rcode", Count, 7, &[Metric::Dns], line => own!(line, Dns, rcode => *rcode);
    "dns_answers", Text, 30, &[Metric::Dns], line => own!(line, Dns, answers => answers.join(" "));
    "dns_server", Text, 20, &[Metric::Dns], line => own!(line, Dns, server => server.as_deref());
    "down_mbps", Rate, 10, &[Metric::Bandwidth], line => own!(line, Bandwidth, down_mbps => *down_mbps);
    "up_mbps", Rate, 10, &[Metric::Bandwidth], line => own!(line, Bandwidth, up_mbps => *up_mbps);
    "idle_rtt_ms", Millis, 10, &[Metric::Bandwidth], line => own!(line, Bandwidth, idle_rtt_ms => *idle_rtt_ms);
    "loaded_rtt_ms", Millis, 10, &[Metric::Bandwidth], line => own!(line, Bandwidth, loaded_rtt_ms => *loaded_rtt_ms);
    "added_rtt_ms", Millis, 10, &[Metric::Bandwidth], line => own!(line, Bandwidth, added_rtt_ms => *added_rtt_ms);
    "bufferbloat_grade", Text, 6, &[Metric::Bandwidth], line => own!(line, Bandwidth, added_rtt_ms => added_rtt_ms.map(bufferbloat_grade));
    "cpu_bound", Truth, 8, &[Metric::Bandwidth], line => own!(line, Bandwidth, is_cpu_bound => *is_cpu_bound);
    "down_retransmits", Count, 9, &[Metric::Bandwidth], line => own!(line, Bandwidth, down_retransmits => *down_retransmits);
    "up_retransmits", Count, 9, &[Metric::Bandwidth], line => own!(line, Bandwidth, up_retransmits => *up_retransmits);
    "tcp_port", Count, 7, &[Metric::Tcp], line => own!(line, Tcp, port => *port);
    "http_status", Count, 7, &[Metric::Http], line => own!(line, Http, status_code => *status_code);
    "http_dns_ms", Millis, 10, &[Metric::Http], line => own!(line, Http, dns_ms => *dns_ms);
    "http_connect_ms", Millis, 10, &[Metric::Http], line => own!(line, Http, connect_ms => *connect_ms);
    "http_tls_ms", Millis, 10, &[Metric::Http], line => own!(line, Http, tls_ms => *tls_ms);
    "http_first_byte_ms", Millis, 10, &[Metric::Http], line => own!(line, Http, first_byte_ms => *first_byte_ms);
    "certificate_expires", Time, 23, &[Metric::Http], line => own!(line, Http, certificate_expires => *certificate_expires);
    "lateness_ms", Millis, 10, &[], line => line.row.lateness_ms;
    "self_delayed", Truth, 8, &[], line => flag(line.row.flags.self_delayed);
    "under_own_load", Truth, 8, &[], line => flag(line.row.flags.under_own_load);
    "clock_suspect", Truth, 8, &[], line => flag(line.row.flags.clock_suspect);
    "uplink_down", Truth, 8, &[], line => flag(line.row.flags.uplink_down);
    "resolved_address", Text, 22, &[], line => line.row.address;
    "error", Text, 40, &[], line => line.row.error.as_deref();
}

/// Flags are rare: an absent one is an empty cell, so that a set one stands out.
const fn flag(set: bool) -> Option<bool> {
    if set { Some(true) } else { None }
}

/// The columns that rows of these metrics can fill, in order. All metrics: all columns.
#[must_use]
pub fn columns_for(metrics: &[Metric]) -> Vec<&'static Column> {
    COLUMNS
        .iter()
        .filter(|column| {
            metrics.is_empty()
                || column.metrics.is_empty()
                || column.metrics.iter().any(|metric| metrics.contains(metric))
        })
        .collect()
}

/// The columns of these names, in the order asked for.
///
/// # Errors
/// The first name that is not a column's.
pub fn columns_named<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Vec<&'static Column>, &'n str> {
    names.into_iter().map(|name| COLUMNS.iter().find(|column| column.name == name).ok_or(name)).collect()
}
