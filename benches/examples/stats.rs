//! Statistics of many values, timed: reads little-endian f64 from the file named, prints each operation with its least
//! milliseconds of several runs and its result. `stats_vs_numpy.py` runs it beside NumPy on the same values.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench reads the clock and says what it saw")]

use std::hint::black_box;
use std::time::Instant;

use netstats_stats::{histogram, mean, mean_abs_ipdv, quantiles, stddev, summarise};

/// The least time of so many runs: what is slower was disturbed.
const RUNS: usize = 15;

fn time(name: &str, mut run: impl FnMut() -> f64) {
    let mut least = f64::INFINITY;
    let mut result = 0.0;
    for _ in 0..RUNS {
        let start = Instant::now();
        result = black_box(run());
        least = least.min(start.elapsed().as_secs_f64() * 1_000.0);
    }
    println!("{name} {least:.4} {result}");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("name the file of values")?;
    let bytes = std::fs::read(file)?;
    let values: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|eight| f64::from_le_bytes(*eight)).collect();
    let edges: Vec<f64> = (0..=100).map(|i| f64::from(i) * 0.5).collect();
    time("mean", || mean(&values).unwrap_or(f64::NAN));
    time("stddev", || stddev(&values).unwrap_or(f64::NAN));
    time("quantiles", || quantiles(&values, [0.05, 0.5, 0.95, 0.99]).unwrap_or_default().iter().sum());
    time("summary", || summarise(&values).and_then(|summary| summary.p99.ok()).unwrap_or(f64::NAN));
    time("mean_abs_ipdv", || mean_abs_ipdv(values.iter().map(|value| Some(*value))).unwrap_or(f64::NAN));
    time("histogram", || {
        let counts = histogram(&values, &edges).map(|counted| counted.counts).unwrap_or_default();
        counts.iter().map(|count| f64::from(u32::try_from(*count).unwrap_or(u32::MAX))).sum()
    });
    Ok(())
}
