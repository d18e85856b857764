//! Every function against NumPy and SciPy: the values in `fixtures/stats`, written by the `make.py` there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use netstats_stats::*;

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stats").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn numbers(text: &str) -> Vec<Option<f64>> {
    text.split_whitespace().map(|word| (word != "none").then(|| word.parse().unwrap())).collect()
}

/// How close: statrs's distributions and a brute-force sum are not bit-equal to SciPy's.
fn tolerance(what: &str) -> f64 {
    match what {
        "mean_interval" | "compare" | "pearson" | "spearman" | "wilson" => 1e-8,
        _ => 1e-10,
    }
}

#[test]
fn agrees_with_numpy_and_scipy() {
    let data: BTreeMap<String, Vec<f64>> = fixture("data.csv")
        .lines()
        .map(|line| line.split_once(';').unwrap())
        .map(|(name, values)| (name.to_owned(), numbers(values).into_iter().flatten().collect()))
        .collect();
    let mut checked = BTreeMap::new();
    for line in fixture("reference.csv").lines() {
        let fields: Vec<&str> = line.split(';').collect();
        let [what, sets, parameter, expected] = fields[..] else { panic!("{line}") };
        let expected = numbers(expected);
        let parameter: f64 = parameter.parse().unwrap_or(f64::NAN);
        let set = |i: usize| -> &[f64] { &data[sets.split(' ').nth(i).unwrap()] };
        let pairs = || -> Vec<(f64, f64)> { set(0).iter().copied().zip(set(1).iter().copied()).collect() };
        let ends = |interval: Option<Interval>| [interval.map(|i| i.low), interval.map(|i| i.high)];
        let got: Vec<Option<f64>> = match what {
            "summary" => {
                let s = summarise(set(0)).unwrap();
                vec![Some(s.n as f64), Some(s.min), Some(s.max), Some(s.mean), Some(s.median), s.stddev]
            }
            "quantile" => vec![quantile(&sorted(set(0)).unwrap(), parameter)],
            "mean_interval" => ends(mean_interval(set(0), parameter)).to_vec(),
            "wilson" => {
                let (lost, sent) = sets.split_once(' ').unwrap();
                let loss = Loss { sent: sent.parse().unwrap(), lost: lost.parse().unwrap() };
                ends(loss.interval(parameter)).to_vec()
            }
            "compare" => {
                let c = compare(set(0), set(1), parameter).unwrap();
                assert!((c.probability_larger - (1.0 + c.effect) / 2.0).abs() < 1e-12);
                [[Some(c.u), Some(c.p), Some(c.shift)].as_slice(), &ends(c.shift_interval)].concat()
            }
            "theil_sen" => {
                let t = theil_sen(&pairs(), parameter).unwrap();
                [[Some(t.slope), Some(t.intercept)], ends(t.interval)].concat()
            }
            "pearson" => {
                let r = pearson(&pairs(), parameter).unwrap();
                [[Some(r.r), Some(r.p)], ends(r.interval)].concat()
            }
            "spearman" => spearman(&pairs()).map(|r| vec![Some(r.r), Some(r.p)]).unwrap(),
            "robust_noise" => vec![robust_noise(set(0))],
            "change_points" => {
                let found = change_points(set(0), None, parameter as usize).unwrap();
                if found.is_empty() { vec![None] } else { found.iter().map(|c| Some(c.at as f64)).collect() }
            }
            "histogram" => {
                let counted = histogram(set(0), set(1)).unwrap();
                counted.counts.iter().map(|count| Some(*count as f64)).collect()
            }
            "mean_abs_ipdv" => vec![mean_abs_ipdv(set(0).iter().map(|v| Some(*v)))],
            "pdv" => vec![quantile(&pdv(set(0)).unwrap(), parameter)],
            "smoothed_jitter" => {
                let mut jitter = SmoothedJitter::default();
                set(0).iter().for_each(|v| jitter.add(*v));
                vec![jitter.value()]
            }
            _ => panic!("no test for {what}"),
        };
        assert_eq!(got.len(), expected.len(), "{line}");
        for (got, expected) in got.iter().zip(&expected) {
            let agrees = match (got, expected) {
                (Some(got), Some(expected)) => {
                    (got - expected).abs() <= tolerance(what) * expected.abs().max(1e-3) || got == expected
                }
                (got, expected) => got.is_none() && expected.is_none(),
            };
            assert!(agrees, "{what} of {sets} at {parameter}: {got:?}, SciPy says {expected:?}");
        }
        *checked.entry(what.to_owned()).or_insert(0) += 1;
    }
    assert_eq!(checked.len(), 14, "{checked:?}");
}
