#!/usr/bin/env python3
"""Statistics of 1,000,000 values beside NumPy: same values, same run, least of several runs, and the ratio.

    cargo build --release -p netstats-bench --example stats
    pip install numpy && python3 benches/stats_vs_numpy.py [VALUES]
"""
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

N = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
RUNS = 15
EXAMPLE = pathlib.Path(__file__).parent.parent / "target/release/examples/stats"

values = np.random.default_rng(20261124).lognormal(2.5, 0.4, N)
edges = np.arange(101) * 0.5


def summary():
    p = np.quantile(values, (0.5, 0.95, 0.99))
    return values.min(), values.max(), values.mean(), np.std(values, ddof=1), p[0], p[1], p[2]


peers = {
    "mean": lambda: values.mean(),
    "stddev": lambda: np.std(values, ddof=1),
    "quantiles": lambda: np.quantile(values, (0.05, 0.5, 0.95, 0.99)).sum(),
    "summary": lambda: summary()[-1],
    "mean_abs_ipdv": lambda: np.abs(np.diff(values)).mean(),
    "histogram": lambda: np.histogram(values, edges)[0].sum(),
}


def least(run):
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - start)
    return best * 1000, float(result)


with tempfile.NamedTemporaryFile() as file:
    values.astype("<f8").tofile(file.name)
    lines = subprocess.run([EXAMPLE, file.name], check=True, capture_output=True, text=True).stdout.splitlines()
ours = {name: (float(ms), float(result)) for name, ms, result in (line.split() for line in lines)}

print(f"{N:,} values, NumPy {np.__version__}, least of {RUNS} runs\n")
print(f"{'':15} {'ours ms':>10} {'NumPy ms':>10} {'ratio':>7}")
for name, run in peers.items():
    ms, result = least(run)
    assert np.isclose(ours[name][1], result, rtol=1e-9), (name, ours[name][1], result)
    print(f"{name:15} {ours[name][0]:10.3f} {ms:10.3f} {ours[name][0] / ms:7.2f}")
