// Series of the API as columns for the charts. A lost burst has no round trip: null, never 0.

import type { Series } from './types';

type Value = number | null;

/** Times in seconds, then values; null where undefined. */
export interface Columns {
  time: number[];
  median: Value[];
  /** The middle half, or the middle 90 % where there are enough round trips. */
  low: Value[];
  high: Value[];
  min: Value[];
  max: Value[];
  loss: Value[];
  jitter: Value[];
  /** Seconds of one bucket; 0 where every point is one slot. */
  bucket: number;
}

export const NO_COLUMNS: Columns = { time: [], median: [], low: [], high: [], min: [], max: [], loss: [], jitter: [], bucket: 0 };

const VALUES = ['median', 'low', 'high', 'min', 'max', 'loss', 'jitter'] as const;

export function bucketOf(resolution: string): number {
  return resolution === 'raw' ? 0 : Number.parseInt(resolution, 10);
}

/** A hole of more than `gap` seconds breaks the line; a bucket is drawn at its middle. */
export function columnsOf(series: Series, gap: number): Columns {
  const { columns } = series;
  const bucket = bucketOf(series.resolution);
  const out: Columns = { time: [], median: [], low: [], high: [], min: [], max: [], loss: [], jitter: [], bucket };
  const allowed = Math.max(gap, bucket * 2.5);
  let last: number | null = null;
  columns.time.forEach((text, i) => {
    const time = Date.parse(text) / 1000 + bucket / 2;
    if (last !== null && time - last > allowed) {
      out.time.push((last + time) / 2);
      for (const name of VALUES) out[name].push(null);
    }
    last = time;
    const of = (column: Value[]) => column[i] ?? null;
    out.time.push(time);
    out.median.push(of(columns.median_ms));
    out.low.push(of(columns.p5_ms) ?? of(columns.p25_ms));
    out.high.push(of(columns.p95_ms) ?? of(columns.p75_ms));
    out.min.push(of(columns.min_ms));
    out.max.push(of(columns.max_ms));
    out.loss.push(of(columns.packet_loss_percent));
    out.jitter.push(of(columns.jitter_ms));
  });
  return out;
}

/** The point nearest to a time, in a sorted list. */
export function nearest(times: readonly number[], at: number): number | null {
  if (times.length === 0) return null;
  let [low, high] = [0, times.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  const before = Math.max(0, low - 1);
  return at - (times[before] ?? 0) < (times[low] ?? 0) - at ? before : low;
}

/** Classes of loss for colours: none, some (up to 5 %), much (up to 20 %), most. */
export function lossClass(percent: number): 0 | 1 | 2 | 3 {
  if (percent <= 0) return 0;
  return percent <= 5 ? 1 : percent <= 20 ? 2 : 3;
}
