//! What a loaded path adds to its round trips.

/// The grade of an added round-trip time in milliseconds (loaded less idle), as bufferbloat tests commonly give it: `A+`
/// under 5, `A` under 30, `B` under 60, `C` under 200, `D` under 400, `F` beyond.
#[must_use]
pub fn bufferbloat_grade(added_ms: f64) -> &'static str {
    match added_ms {
        added if added < 5.0 => "A+",
        added if added < 30.0 => "A",
        added if added < 60.0 => "B",
        added if added < 200.0 => "C",
        added if added < 400.0 => "D",
        _ => "F",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_begin_at_their_bounds() {
        let steps = [-3.0, 4.999, 5.0, 29.9, 30.0, 59.9, 60.0, 199.9, 200.0, 399.9, 400.0, 9_000.0];
        let grades = ["A+", "A+", "A", "A", "B", "B", "C", "C", "D", "D", "F", "F"];
        assert_eq!(steps.map(bufferbloat_grade), grades);
    }
}
