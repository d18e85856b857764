//! What the other end of a bandwidth test says, made of any bytes.

use std::time::Duration;

use super::iperf3::{received, resent};
use super::meter::{Meter, throughput, without_buffered};
use super::ndt7::app_info;

/// A measurement of an ndt7 server, line by line, or results of an iperf3 server.
pub(crate) fn said(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let meter = Meter::new(1 << 40);
    let reports: Vec<_> = text.lines().filter_map(app_info).collect();
    reports.iter().for_each(|(at, bytes)| meter.reported(*at, *bytes));
    assert_eq!(meter.total(), reports.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0), "the highest report counts");
    let Ok(results) = serde_json::from_slice(bytes) else { return };
    let (received, retransmits) = (received(&results), resent(&results));
    let bins = without_buffered(vec![u32::MAX; 12], 1 << 36, received.unwrap_or(0));
    let found = throughput(bins, Duration::from_secs(1), retransmits).expect("some whole bins");
    assert_eq!((found.bytes_per_100ms.len(), found.retransmits), (10, retransmits));
}
