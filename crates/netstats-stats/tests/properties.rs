//! Against naive code, on random values.

use netstats_stats::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Round trips as they come: mostly near each other, some anywhere.
fn round_trips(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u32>> {
    vec(prop_oneof![8 => 9_000_u32..14_000, 1 => 1_u32..200, 1 => 1_u32..=u32::MAX], n)
}

fn encoded(sketch: &Sketch) -> Vec<u8> {
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_sketch_is_within_one_percent(values in round_trips(1..400), q in 0.0..=1.0_f64) {
        let mut sketch = Sketch::default();
        sketch.extend(values.iter().copied());
        let exact = quantile(&sorted(&values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>()).unwrap(), q).unwrap();
        let estimate = sketch.quantile(q).unwrap();
        prop_assert!((estimate - exact).abs() <= RELATIVE_ERROR * exact + 1e-6, "{estimate} for {exact}");
        prop_assert_eq!(sketch.n(), values.len() as u64);
    }

    #[test]
    fn sketches_and_moments_merge_to_the_whole(values in round_trips(0..300), cut in 0.0..=1.0_f64) {
        let cut = (cut * values.len() as f64) as usize;
        let (mut left, mut right, mut whole) = (Sketch::default(), Sketch::default(), Sketch::default());
        left.extend(values[..cut].iter().copied());
        right.extend(values[cut..].iter().copied());
        whole.extend(values.iter().rev().copied());
        let mut ascending = values.clone();
        ascending.sort_unstable();
        let mut at_once = Sketch::default();
        at_once.add_ascending(&ascending);
        prop_assert_eq!(&at_once, &whole);
        let mut other = right.clone();
        other.merge(&left);
        left.merge(&right);
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(encoded(&other), encoded(&whole));

        let (mut left, mut right, mut whole) = (Moments::default(), Moments::default(), Moments::default());
        left.extend(values[..cut].iter().copied());
        right.extend(values[cut..].iter().copied());
        whole.extend(values.iter().rev().copied());
        left.merge(&right);
        prop_assert_eq!(left, whole);
    }

    #[test]
    fn a_sketch_comes_back_from_its_bytes(values in round_trips(0..300), rest in vec(any::<u8>(), 0..9)) {
        let mut sketch = Sketch::default();
        sketch.extend(values);
        let mut bytes = encoded(&sketch);
        bytes.extend_from_slice(&rest);
        let (back, after) = Sketch::decode(&bytes).unwrap();
        prop_assert_eq!(back, sketch);
        prop_assert_eq!(after, &rest[..]);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok((sketch, _)) = Sketch::decode(&bytes) {
            prop_assert!(sketch.n() <= u64::from(u32::MAX) * 1_000);
        }
    }

    #[test]
    fn moments_are_the_two_pass_ones(values in vec(1_u32..5_000_000, 1..200)) {
        let mut moments = Moments::default();
        moments.extend(values.iter().copied());
        let floats: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        let naive = floats.iter().sum::<f64>() / floats.len() as f64;
        prop_assert!((moments.mean().unwrap() - naive).abs() <= 1e-9 * naive);
        match (moments.stddev(), stddev(&floats)) {
            (Some(a), Some(b)) => prop_assert!((a - b).abs() <= 1e-6 * b.max(1.0), "{} {}", a, b),
            (a, b) => prop_assert_eq!(a, b),
        }
        prop_assert_eq!(moments.extremes, Some((*values.iter().min().unwrap(), *values.iter().max().unwrap())));
    }

    #[test]
    fn mean_abs_ipdv_is_the_naive_one(delays in vec(prop::option::weighted(0.8, 0.0..1e3_f64), 0..60)) {
        let steps: Vec<f64> =
            delays.windows(2).filter_map(|pair| Some((pair[1]? - pair[0]?).abs())).collect();
        match mean_abs_ipdv(delays.iter().copied()) {
            Some(jitter) => prop_assert!((jitter - steps.iter().sum::<f64>() / steps.len() as f64).abs() < 1e-9),
            None => prop_assert!(steps.is_empty()),
        }
    }

    #[test]
    fn loss_periods_cover_every_loss(stream in vec(any::<bool>(), 0..80)) {
        let pattern = LossPattern::of(stream.iter().copied());
        let mut rebuilt = vec![false; stream.len()];
        for period in &pattern.periods {
            rebuilt[period.first..period.first + period.length].fill(true);
            prop_assert!(period.first == 0 || !stream[period.first - 1]);
        }
        prop_assert_eq!(&rebuilt, &stream);
        let lost = stream.iter().filter(|lost| **lost).count();
        prop_assert_eq!(pattern.distances.len(), lost.saturating_sub(1));
    }

    #[test]
    fn an_interval_of_loss_holds_the_ratio(sent in 1_u64..5_000, share in 0.0..=1.0_f64) {
        let loss = Loss { sent, lost: (share * sent as f64) as u64 };
        let (ratio, interval) = (loss.ratio().unwrap(), loss.interval(0.95).unwrap());
        prop_assert!(interval.low <= ratio && ratio <= interval.high && interval.low >= 0.0 && interval.high <= 1.0);
    }

    #[test]
    fn comparing_is_the_naive_count_of_pairs(
        a in vec(0_i32..40, 1..30),
        b in vec(0_i32..40, 1..30),
    ) {
        let (a, b): (Vec<f64>, Vec<f64>) = (a.iter().map(|v| f64::from(*v)).collect(), b.iter().map(|v| f64::from(*v)).collect());
        let mut differences: Vec<f64> = b.iter().flat_map(|b| a.iter().map(move |a| b - a)).collect();
        differences.sort_by(f64::total_cmp);
        let u: f64 = differences.iter().map(|d| if *d < 0.0 { 1.0 } else if *d == 0.0 { 0.5 } else { 0.0 }).sum();
        let result = compare(&a, &b, 0.95).unwrap();
        prop_assert_eq!(result.u, u);
        prop_assert_eq!(result.shift, quantile(&differences, 0.5).unwrap());
        let swapped = compare(&b, &a, 0.95).unwrap();
        prop_assert_eq!(swapped.shift, -result.shift + 0.0);
        prop_assert!((swapped.p - result.p).abs() < 1e-12 && (swapped.effect + result.effect).abs() < 1e-12);
    }

    #[test]
    fn change_points_are_the_best_cut_of_all(
        levels in vec((0_i32..5, 3_usize..12), 1..5),
        noise in vec(-1.0..1.0_f64, 60),
        penalty in 0.1..20.0_f64,
        min_length in 1_usize..5,
    ) {
        let values: Vec<f64> = levels
            .iter()
            .flat_map(|(level, length)| std::iter::repeat_n(f64::from(*level) * 2.0, *length))
            .zip(&noise)
            .map(|(level, noise)| level + noise)
            .collect();
        let n = values.len();
        let cost = |from: usize, to: usize| {
            let part = &values[from..to];
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            part.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>()
        };
        // All cuts, without pruning.
        let mut best = vec![f64::INFINITY; n + 1];
        best[0] = -penalty;
        for end in min_length..=n {
            for start in 0..=end - min_length {
                best[end] = best[end].min(best[start] + cost(start, end) + penalty);
            }
        }
        let found = change_points(&values, Some(penalty), min_length).unwrap();
        let mut cuts: Vec<usize> = found.iter().map(|change| change.at).collect();
        cuts.insert(0, 0);
        cuts.push(n);
        let total: f64 = cuts.windows(2).map(|w| cost(w[0], w[1]) + penalty).sum::<f64>() - penalty;
        if best[n].is_finite() {
            prop_assert!((total - best[n]).abs() < 1e-6, "{total} {}", best[n]);
            prop_assert!(n < 2 * min_length || cuts.windows(2).all(|w| w[1] - w[0] >= min_length));
        }
    }

    #[test]
    fn a_histogram_counts_every_value(values in vec(-5.0..15.0_f64, 0..100)) {
        let counted = histogram(&values, &[0.0, 1.0, 2.5, 10.0]).unwrap();
        prop_assert_eq!(counted.counts.iter().sum::<u64>() + counted.below + counted.above, values.len() as u64);
    }

    #[test]
    fn availability_is_what_looking_at_every_millisecond_says(
        streams in vec(vec((0_i64..4, 1_i64..9, 0_u8..3), 0..10), 0..4),
        windows in vec((0_i64..80, 1_i64..20), 0..4),
        cut in (0_i64..40, 0_i64..60),
        blindness in 0_usize..3,
        is_maintenance_excluded in any::<bool>(),
    ) {
        const KNOWN: [Known; 3] = [Known::Up, Known::Down, Known::Unknown];
        let streams: Vec<Vec<Stretch>> = streams.iter().map(|stream| {
            let mut at = 0;
            stream.iter().map(|(gap, length, known)| {
                let from = at + gap;
                at = from + length;
                Stretch { from, to: at, known: KNOWN[usize::from(*known)], checks: 1 }
            }).collect()
        }).collect();
        let windows: Vec<_> = windows.iter().map(|(from, length)| *from..from + length).collect();
        let range = cut.0..cut.0 + cut.1;
        let blindness = [Blindness::Excluded, Blindness::Up, Blindness::Down][blindness];
        let accounting = Accounting { blindness, is_maintenance_excluded, ..Accounting::default() };
        let account = availability(&streams, &windows, &range, &accounting);

        let (mut up, mut down, mut unknown, mut maintenance, mut unmeasured) = (0, 0, 0, 0, 0);
        for at in range.clone() {
            let said: Vec<Known> =
                streams.iter().flatten().filter(|s| (s.from..s.to).contains(&at)).map(|s| s.known).collect();
            let is_excluded = is_maintenance_excluded && windows.iter().any(|window| window.contains(&at));
            match said.iter().min() {
                None => unmeasured += 1,
                Some(_) if is_excluded => maintenance += 1,
                Some(Known::Up) => up += 1,
                Some(Known::Down) => down += 1,
                Some(Known::Unknown) => {
                    unknown += 1;
                    up += i64::from(blindness == Blindness::Up);
                    down += i64::from(blindness == Blindness::Down);
                }
            }
        }
        let sums = (account.up_ms, account.down_ms, account.unknown_ms, account.maintenance_ms, account.unmeasured_ms);
        prop_assert_eq!(sums, (up, down, unknown, maintenance, unmeasured));
        prop_assert!(account.outages.windows(2).all(|pair| pair[0].to <= pair[1].from));
        prop_assert!(account.outages.iter().all(|o| range.start <= o.from && o.from < o.to && o.to <= range.end));
        if blindness != Blindness::Down {
            prop_assert_eq!(account.outages.iter().map(|outage| outage.counted_ms).sum::<i64>(), down);
        }
    }

    #[test]
    fn more_retries_and_grace_never_make_it_worse(
        stream in vec((1_i64..9, 0_u8..3, 1_u64..4), 0..20),
        retries in 0_u32..6,
        grace_ms in 0_i64..30,
    ) {
        let mut at = 0;
        let stream: Vec<Stretch> = stream.iter().map(|(length, known, checks)| {
            let from = at;
            at += length;
            let known = [Known::Up, Known::Down, Known::Unknown][usize::from(*known)];
            Stretch { from, to: at, known, checks: *checks }
        }).collect();
        let of = |retries, grace_ms| {
            let accounting = Accounting { retries, grace_ms, ..Accounting::default() };
            availability(std::slice::from_ref(&stream), &[], &(0..at), &accounting)
        };
        let (before, after) = (of(retries, grace_ms), of(retries + 1, grace_ms + 1));
        prop_assert!(after.down_ms <= before.down_ms && after.outages.len() <= before.outages.len());
        prop_assert_eq!(after.up_ms + after.down_ms, before.up_ms + before.down_ms);
        prop_assert_eq!(after.unknown_ms, before.unknown_ms);
    }

    #[test]
    fn quantiles_by_selection_are_those_by_sorting(
        values in vec(prop_oneof![4 => -50.0..50.0_f64, 1 => (0_i32..5).prop_map(f64::from)], 1..200),
        (a, b) in (0.0..=1.0_f64, 0.0..=1.0_f64),
    ) {
        let ascending = sorted(&values).unwrap();
        let qs = [a, b, 1.0, 0.0, a];
        let expected = qs.map(|q| quantile(&ascending, q).unwrap());
        prop_assert_eq!(quantiles(&values, qs).unwrap(), expected);
        let summary = summarise(&values).unwrap();
        prop_assert_eq!(summary.median, quantile(&ascending, 0.5).unwrap());
        prop_assert_eq!(summary.p95, percentile(&ascending, 0.95));
        prop_assert_eq!(summary.p99, percentile(&ascending, 0.99));
        prop_assert_eq!((summary.min, summary.max), (ascending[0], ascending[ascending.len() - 1]));
    }
}
