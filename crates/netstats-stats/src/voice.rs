//! Estimated voice quality: the simplified E-model (ITU-T G.107 cut down to latency, jitter and loss). An estimate, to
//! be labelled so; figures of other tools, with other simplifications, must not be compared with it.

/// Transmission rating R, 0 to 93.2, of a path with this latency and jitter (milliseconds) and loss (ratio 0 to 1).
///
/// Effective latency is `latency + 2 jitter + 10 ms`; below 160 ms it costs 1 per 40 ms, above 1 per 10 ms; each
/// percent of loss costs 2.5.
#[must_use]
pub fn r_factor(latency_ms: f64, jitter_ms: f64, loss_ratio: f64) -> f64 {
    let effective = latency_ms + 2.0 * jitter_ms + 10.0;
    let delay = if effective < 160.0 { effective / 40.0 } else { (effective - 120.0) / 10.0 };
    (93.2 - delay - 2.5 * loss_ratio * 100.0).clamp(0.0, 93.2)
}

/// Mean opinion score, 1 to 4.5, of a rating (G.107 annex B).
#[must_use]
pub fn mos(r: f64) -> f64 {
    let r = r.clamp(0.0, 100.0);
    // Below about R 6.5 the polynomial dips under 1, where the scale ends.
    (1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r)).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points_of_the_simplified_model() {
        assert!((r_factor(20.0, 1.0, 0.0) - (93.2 - 32.0 / 40.0)).abs() < 1e-12);
        assert!((r_factor(200.0, 5.0, 0.01) - (93.2 - 10.0 - 2.5)).abs() < 1e-12);
        assert!((mos(93.2) - 4.41).abs() < 0.01, "{}", mos(93.2));
        assert_eq!(mos(r_factor(0.0, 0.0, 1.0)), 1.0);
        assert_eq!(mos(3.0), 1.0);
    }

    #[test]
    fn the_two_branches_meet_at_160_ms() {
        assert!((r_factor(150.0, 0.0, 0.0) - r_factor(149.999_999, 0.0, 0.0)).abs() < 1e-6);
    }
}
