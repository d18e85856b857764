// Arithmetic on rows for the charts. A lost burst has no round trip: it is left out, never counted as 0.

import type { Row } from './types';

/** Quantile with linear interpolation (type 7) of sorted values; null of none. */
export function quantile(sorted: ArrayLike<number>, q: number): number | null {
  const n = sorted.length;
  if (n === 0) return null;
  const at = (n - 1) * Math.min(1, Math.max(0, q));
  const low = Math.floor(at);
  const [a, b] = [sorted[low] ?? 0, sorted[Math.min(n - 1, low + 1)] ?? 0];
  return a + (b - a) * (at - low);
}

/** Wilson score interval of `lost` of `sent`, 95 %, as ratios. */
export function wilson(lost: number, sent: number): [number, number] | null {
  if (sent <= 0) return null;
  const z = 1.959964;
  const p = lost / sent;
  const d = 1 + (z * z) / sent;
  const centre = p + (z * z) / (2 * sent);
  const half = z * Math.sqrt((p * (1 - p)) / sent + (z * z) / (4 * sent * sent));
  return [lost === 0 ? 0 : (centre - half) / d, lost === sent ? 1 : Math.min(1, (centre + half) / d)];
}

export interface Summary {
  bursts: number;
  answered: number;
  unmeasured: number;
  sent: number;
  received: number;
  lossPercent: number | null;
  lossInterval: [number, number] | null;
  median: number | null;
  mean: number | null;
  min: number | null;
  max: number | null;
  p95: number | null;
  p99: number | null;
  stddev: number | null;
  jitter: number | null;
}

const numbers = (rows: readonly Row[], of: (row: Row) => number | null) =>
  rows.map(of).filter((value): value is number => value !== null);

const isMeasured = (row: Row) => row.status !== 'unknown' && row.status !== 'error';

/** Sums up ping rows. Percentiles are of the bursts' medians, and asked for only with enough of them. */
export function summarise(rows: readonly Row[]): Summary {
  const measured = rows.filter(isMeasured);
  const medians = numbers(measured, (row) => row.response_time_ms).sort((a, b) => a - b);
  const means = numbers(measured, (row) => row.mean_ms);
  const jitters = numbers(measured, (row) => row.jitter_ms);
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
  const sent = sum(numbers(measured, (row) => row.packets_sent));
  const received = sum(numbers(measured, (row) => row.packets_received));
  const mean = means.length ? sum(means) / means.length : null;
  const middle = medians.length ? sum(medians) / medians.length : 0;
  const least = numbers(measured, (row) => row.min_ms);
  const most = numbers(measured, (row) => row.max_ms);
  return {
    bursts: measured.length,
    answered: medians.length,
    unmeasured: rows.length - measured.length,
    sent,
    received,
    lossPercent: sent > 0 ? ((sent - received) / sent) * 100 : null,
    lossInterval: wilson(sent - received, sent),
    median: quantile(medians, 0.5),
    mean,
    min: least.length ? least.reduce((a, b) => Math.min(a, b)) : null,
    max: most.length ? most.reduce((a, b) => Math.max(a, b)) : null,
    p95: medians.length >= 20 ? quantile(medians, 0.95) : null,
    p99: medians.length >= 100 ? quantile(medians, 0.99) : null,
    stddev:
      medians.length >= 2 ? Math.sqrt(sum(medians.map((value) => (value - middle) ** 2)) / (medians.length - 1)) : null,
    jitter: jitters.length ? sum(jitters) / jitters.length : null,
  };
}

/** Columns for the chart: times in seconds, then values; null where undefined. */
export interface Columns {
  time: number[];
  median: (number | null)[];
  low: (number | null)[];
  high: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  loss: (number | null)[];
  jitter: (number | null)[];
  /** Seconds of one bucket; 0 where every point is one burst. */
  bucket: number;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];

/**
 * Points for a chart of about `most` points over [from, to) in seconds. Few rows are drawn as they are; many are put
 * into buckets: the median of the medians, the middle 80 % of them, the smallest and the largest round trip, and the
 * loss of all their packets. A hole of more than `gap` seconds breaks the line.
 */
export function columns(rows: readonly Row[], from: number, to: number, most: number, gap: number): Columns {
  const out: Columns = { time: [], median: [], low: [], high: [], min: [], max: [], loss: [], jitter: [], bucket: 0 };
  const push = (time: number, group: readonly Row[]) => {
    const summary = summarise(group);
    const middle = numbers(group.filter(isMeasured), (row) => row.response_time_ms).sort((a, b) => a - b);
    out.time.push(time);
    out.median.push(summary.median);
    out.low.push(out.bucket ? quantile(middle, 0.1) : null);
    out.high.push(out.bucket ? quantile(middle, 0.9) : null);
    out.min.push(summary.min);
    out.max.push(summary.max);
    out.loss.push(summary.lossPercent);
    out.jitter.push(summary.jitter);
  };
  const hole = (time: number) => {
    out.time.push(time);
    for (const name of ['median', 'low', 'high', 'min', 'max', 'loss', 'jitter'] as const) out[name].push(null);
  };
  const at = (row: Row) => Date.parse(row.timestamp) / 1000;
  const inside = rows.filter((row) => at(row) >= from && at(row) < to);
  if (inside.length > most) {
    const wanted = (to - from) / most;
    out.bucket = STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 86_400) * 86_400;
  }
  const allowed = Math.max(gap, out.bucket * 2.5);
  let last: number | null = null;
  for (let i = 0; i < inside.length; ) {
    const first = inside[i] as Row;
    let end = i + 1;
    let time = at(first);
    if (out.bucket) {
      const bucket = Math.floor(time / out.bucket);
      while (end < inside.length && Math.floor(at(inside[end] as Row) / out.bucket) === bucket) end++;
      time = (bucket + 0.5) * out.bucket;
    }
    if (last !== null && time - last > allowed) hole((last + time) / 2);
    if (last === null || time > last) push(time, inside.slice(i, end));
    last = time;
    i = end;
  }
  return out;
}

export interface Histogram {
  edges: number[];
  counts: number[];
}

/** Counts of medians in `bins` equal bins from the smallest to the 99.5th percentile; the rest is in the last. */
export function histogram(rows: readonly Row[], bins = 40): Histogram | null {
  const values = numbers(rows.filter(isMeasured), (row) => row.response_time_ms).sort((a, b) => a - b);
  const low = values[0];
  const high = quantile(values, 0.995);
  if (low === undefined || high === null) return null;
  const width = Math.max((high - low) / bins, 0.001);
  const counts = new Array<number>(bins).fill(0);
  for (const value of values) {
    const bin = Math.min(bins - 1, Math.floor((value - low) / width));
    counts[bin] = (counts[bin] ?? 0) + 1;
  }
  return { edges: Array.from({ length: bins + 1 }, (_, i) => low + i * width), counts };
}

export interface Cell {
  median: number | null;
  lossPercent: number | null;
  bursts: number;
}

/** Hour by weekday (Monday first) in the viewer's zone. */
export function week(rows: readonly Row[]): Cell[][] {
  const groups: Row[][][] = Array.from({ length: 7 }, () => Array.from({ length: 24 }, () => []));
  for (const row of rows) {
    const date = new Date(row.timestamp);
    groups[(date.getDay() + 6) % 7]?.[date.getHours()]?.push(row);
  }
  return groups.map((hours) =>
    hours.map((group) => {
      const { median, lossPercent, bursts } = summarise(group);
      return { median, lossPercent, bursts };
    }),
  );
}
