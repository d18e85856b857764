//! Pure arithmetic on samples: summaries, jitter, loss, sketches that merge, tests, trends, change points.
//!
//! ```
//! use netstats_stats::{Loss, mean_abs_ipdv, summarise};
//!
//! // A burst of five: 10, 12, lost, 11 and 13 ms.
//! let burst = [Some(10.0), Some(12.0), None, Some(11.0), Some(13.0)];
//! let came_back: Vec<f64> = burst.iter().flatten().copied().collect();
//!
//! let summary = summarise(&came_back).unwrap();
//! assert_eq!(summary.median, 11.5);
//! assert!(summary.p95.is_err(), "four values say nothing about a 95th percentile");
//! assert_eq!(mean_abs_ipdv(burst), Some(2.0), "a lost packet breaks the pair");
//! assert_eq!(Loss { sent: 5, lost: 1 }.ratio(), Some(0.2));
//! ```
//!
//! # It is not
//! - aware of events, storage, clocks or time zones: it takes slices of numbers, and `None` for what was lost;
//! - tolerant: a value that is not a number makes the answer `None`, never a wrong number;
//! - random: the same values give the same bits on every machine, except where a logarithm or a distribution of
//!   `statrs` is involved (confidence intervals, p-values).

mod apdex;
mod availability;
mod baseline;
mod bufferbloat;
mod changes;
mod compare;
mod correlation;
mod heatmap;
mod histogram;
mod jitter;
mod limits;
mod loss;
mod mean;
mod moments;
mod season;
mod sketch;
mod summary;
mod trend;
mod voice;

pub use apdex::{Apdex, apdex};
pub use availability::{Accounting, Availability, Blindness, Known, Outage, Stretch, answered_share, availability};
pub use baseline::{Baseline, Cell};
pub use bufferbloat::bufferbloat_grade;
pub use changes::{ChangePoint, change_penalty, change_points, robust_noise};
pub use compare::{Comparison, compare};
pub use correlation::{Correlation, pearson, spearman};
pub use heatmap::{Heatmap, HeatmapCell, WEEK};
pub use histogram::{Histogram, histogram, log_edges};
pub use jitter::{IntegerJitter, SmoothedJitter, ipdv, mean_abs_ipdv, pdv};
pub use limits::*;
pub use loss::{Loss, LossPattern, LossPeriod};
pub use mean::{Interval, mean_interval};
pub use moments::Moments;
pub use season::{Deseasonalised, Period, deseasonalise};
pub use sketch::{RELATIVE_ERROR, Sketch, SketchError, SketchSum};
pub use summary::{
    Summary, TooFew, mean, percentile, percentile_needs, quantile, quantile_of, quantiles, sorted, stddev, summarise,
};
pub use trend::{Trend, theil_sen};
pub use voice::{mos, r_factor};
