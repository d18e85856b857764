//! What a report says of the probes that are not pings: one entry for each destination and what was asked of it.

use std::collections::BTreeMap;
use std::io;

use netstats_event::{DestinationId, DnsFailure, DnsOutcome, Event, HttpOutcome, Metric, TcpOutcome, Timestamp};
use netstats_series::{Row, RowDetail, RowStatus};
use netstats_stats::percentile_needs;

use crate::report::Slots;
use crate::spill::{Many, Spill, ordered, real_of};

/// What tells one entry from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeKey {
    /// The destination.
    pub destination: DestinationId,
    /// The metric: dns, bandwidth, tcp or http.
    pub metric: Metric,
    /// What was asked: a name and type, a port; empty where there is nothing to tell.
    pub target: String,
}

/// Figures of one probe kind at one destination.
#[derive(Debug, Default)]
pub struct ProbeReport {
    /// The destination's name.
    pub name: String,
    /// Slots by outcome; silent is whatever was not as the job expects.
    pub slots: Slots,
    /// How often each code came: response codes of DNS, status codes of HTTP; else the outcome in words.
    pub codes: BTreeMap<String, u64>,
    /// Values by the column that they stand in.
    values: BTreeMap<&'static str, Many<u64>>,
    /// What they come to: how many, and smallest, median, 95th percentile, largest.
    figures: BTreeMap<&'static str, (usize, [f64; 4])>,
    /// Tests in which our own processor was the limit.
    pub cpu_bound: u64,
    /// The end of the certificate that was seen last.
    pub certificate_expires: Option<Timestamp>,
}

impl ProbeReport {
    /// The entry's key, if the row is of one of these probes.
    pub(crate) fn key_of(row: &Row) -> Option<ProbeKey> {
        if !matches!(row.metric, Metric::Dns | Metric::Bandwidth | Metric::Tcp | Metric::Http) {
            return None;
        }
        let target = match &row.detail {
            RowDetail::Dns { name, record_type, .. } => format!("{name} {record_type}"),
            RowDetail::Tcp { port } => port.to_string(),
            _ => String::new(),
        };
        Some(ProbeKey { destination: row.destination, metric: row.metric, target })
    }

    /// Takes up a row of an event.
    pub(crate) fn add(&mut self, row: &Row, event: &Event, spill: &mut Spill) -> io::Result<()> {
        match row.status {
            RowStatus::Success | RowStatus::Partial => self.slots.answered += 1,
            RowStatus::Unknown => self.slots.inconclusive += 1,
            _ if is_ours(event) => self.slots.inconclusive += 1,
            _ => self.slots.silent += 1,
        }
        let mut code = row.status.name().to_owned();
        self.put("time", row.rtt_ms, spill)?;
        match &row.detail {
            RowDetail::Dns { rcode: Some(rcode), .. } => code = rcode.to_string(),
            RowDetail::Bandwidth {
                down_mbps, up_mbps, idle_rtt_ms, loaded_rtt_ms, added_rtt_ms, is_cpu_bound, ..
            } => {
                self.put("down", *down_mbps, spill)?;
                self.put("up", *up_mbps, spill)?;
                self.put("idle", *idle_rtt_ms, spill)?;
                self.put("loaded", *loaded_rtt_ms, spill)?;
                self.put("added", *added_rtt_ms, spill)?;
                self.cpu_bound += u64::from(*is_cpu_bound);
            }
            RowDetail::Http { status_code, dns_ms, connect_ms, tls_ms, first_byte_ms, certificate_expires } => {
                self.put("dns", *dns_ms, spill)?;
                self.put("connect", *connect_ms, spill)?;
                self.put("tls", *tls_ms, spill)?;
                self.put("first byte", *first_byte_ms, spill)?;
                self.certificate_expires = certificate_expires.or(self.certificate_expires);
                if let Some(status) = status_code {
                    code = status.to_string();
                }
            }
            _ => {}
        }
        *self.codes.entry(code).or_default() += 1;
        Ok(())
    }

    fn put(&mut self, what: &'static str, value: Option<f64>, spill: &mut Spill) -> io::Result<()> {
        match value.filter(|value| value.is_finite()) {
            Some(value) => self.values.entry(what).or_default().push(ordered(value), spill),
            None => Ok(()),
        }
    }

    /// Works out what needs all values.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(crate) fn finish(&mut self, spill: &mut Spill) -> io::Result<()> {
        for (what, values) in std::mem::take(&mut self.values) {
            let found = values.quantiles(spill, [0.0, 0.5, 0.95, 1.0], real_of)?;
            self.figures.extend(found.map(|figures| (what, (values.len(), figures))));
        }
        Ok(())
    }

    fn figure(&self, what: &str, at: usize, needs: usize) -> Option<f64> {
        self.figures.get(what).filter(|(n, _)| *n >= needs).map(|(_, figures)| figures[at])
    }

    /// Smallest of a column's values.
    #[must_use]
    pub fn min(&self, what: &str) -> Option<f64> {
        self.figure(what, 0, 1)
    }

    /// Median of a column's values.
    #[must_use]
    pub fn median(&self, what: &str) -> Option<f64> {
        self.figure(what, 1, 1)
    }

    /// 95th percentile of a column's values; from 20 on.
    #[must_use]
    pub fn p95(&self, what: &str) -> Option<f64> {
        self.figure(what, 2, percentile_needs(0.95))
    }

    /// Largest of a column's values.
    #[must_use]
    pub fn max(&self, what: &str) -> Option<f64> {
        self.figure(what, 3, 1)
    }

    /// `0: 118, 3: 2`.
    #[must_use]
    pub fn codes_in_words(&self) -> String {
        self.codes.iter().map(|(code, count)| format!("{code}: {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// It failed on our side: that says nothing about the destination.
const fn is_ours(event: &Event) -> bool {
    match event {
        Event::SlotFailed(_) => true,
        Event::NameResolved(lookup) => matches!(lookup.outcome, DnsOutcome::Failure(DnsFailure::Local(_))),
        Event::TcpMeasured(connection) => matches!(connection.outcome, TcpOutcome::Local(_)),
        Event::HttpMeasured(request) => matches!(request.outcome, HttpOutcome::Local(_)),
        _ => false,
    }
}
