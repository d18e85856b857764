//! The figures of a span of time in JSON: the same names for a bucket of a chart, for a range and for a group.

use std::collections::BTreeMap;

use netstats_series::{Percentile, Point};
use serde::Serialize;

/// A share in percent, without what binary arithmetic leaves behind the decimals that are meant.
pub(crate) fn percent(ratio: f64) -> f64 {
    (ratio * 1e8).round() / 1e6
}

/// What happened in a span. Null where it is undefined; `not_given` says why a percentile is.
#[derive(Serialize)]
pub(crate) struct Figures {
    slots: u64,
    slots_unknown: u64,
    packets_sent: u64,
    packets_received: u64,
    packets_late: u64,
    packet_loss_percent: Option<f64>,
    n: u64,
    min_ms: Option<f64>,
    mean_ms: Option<f64>,
    median_ms: Option<f64>,
    max_ms: Option<f64>,
    stddev_ms: Option<f64>,
    jitter_ms: Option<f64>,
    p5_ms: Option<f64>,
    p25_ms: Option<f64>,
    p75_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
    not_given: BTreeMap<&'static str, String>,
}

/// The percentiles of a point, by name.
fn percentiles(point: &Point) -> [(&'static str, Percentile); 5] {
    [
        ("p5_ms", point.p5_ms),
        ("p25_ms", point.p25_ms),
        ("p75_ms", point.p75_ms),
        ("p95_ms", point.p95_ms),
        ("p99_ms", point.p99_ms),
    ]
}

impl From<&Point> for Figures {
    fn from(point: &Point) -> Self {
        let missing = percentiles(point).into_iter().filter_map(|(name, p)| Some((name, p.err()?.to_string())));
        Self {
            slots: point.slots,
            slots_unknown: point.unknown,
            packets_sent: point.sent,
            packets_received: point.received,
            packets_late: point.late,
            packet_loss_percent: point.loss_ratio.map(percent),
            n: point.n,
            min_ms: point.min_ms,
            mean_ms: point.mean_ms,
            median_ms: point.median_ms,
            max_ms: point.max_ms,
            stddev_ms: point.stddev_ms,
            jitter_ms: point.jitter_ms,
            p5_ms: point.p5_ms.ok(),
            p25_ms: point.p25_ms.ok(),
            p75_ms: point.p75_ms.ok(),
            p95_ms: point.p95_ms.ok(),
            p99_ms: point.p99_ms.ok(),
            not_given: missing.collect(),
        }
    }
}

macro_rules! columns {
    (|$point:ident| $($name:ident: $type:ty = $value:expr;)*) => {
        /// Points as one list for each figure, for charts; all lists are as long as `time`.
        #[derive(Default, Serialize)]
        pub(crate) struct Columns {
            time: Vec<super::Time>,
            $($name: Vec<$type>,)*
        }

        impl Columns {
            pub(crate) fn of(points: &[Point]) -> Self {
                let mut columns = Self::default();
                for $point in points {
                    columns.time.push(super::Time($point.at));
                    $(columns.$name.push($value);)*
                }
                columns
            }
        }

        /// One point as a row.
        #[derive(Serialize)]
        pub(crate) struct PointRow {
            time: super::Time,
            $($name: $type,)*
        }

        impl From<&Point> for PointRow {
            fn from($point: &Point) -> Self {
                Self { time: super::Time($point.at), $($name: $value,)* }
            }
        }
    };
}

columns! {
    |point|
    median_ms: Option<f64> = point.median_ms;
    p5_ms: Option<f64> = point.p5_ms.ok();
    p25_ms: Option<f64> = point.p25_ms.ok();
    p75_ms: Option<f64> = point.p75_ms.ok();
    p95_ms: Option<f64> = point.p95_ms.ok();
    p99_ms: Option<f64> = point.p99_ms.ok();
    min_ms: Option<f64> = point.min_ms;
    mean_ms: Option<f64> = point.mean_ms;
    max_ms: Option<f64> = point.max_ms;
    jitter_ms: Option<f64> = point.jitter_ms;
    packet_loss_percent: Option<f64> = point.loss_ratio.map(percent);
    packets_sent: u64 = point.sent;
    packets_received: u64 = point.received;
    n: u64 = point.n;
    slots: u64 = point.slots;
    slots_unknown: u64 = point.unknown;
}

/// Why percentiles are null where they are: the first reason for each.
pub(crate) fn reasons(points: &[Point]) -> BTreeMap<&'static str, String> {
    let mut reasons = BTreeMap::new();
    for point in points {
        for (name, percentile) in percentiles(point) {
            if let Err(why) = percentile {
                reasons.entry(name).or_insert_with(|| why.to_string());
            }
        }
    }
    reasons
}
