// Bandwidth tests as they are drawn and told. A test that moved nothing has no rate: null, never 0.

import { quantile } from './stats';
import type { Row } from './types';

export const BANDWIDTH_FIELDS = [
  'timestamp', 'position', 'status', 'error', 'resolved_address', 'down_mbps', 'up_mbps', 'idle_rtt_ms', 'loaded_rtt_ms',
  'down_retransmits', 'up_retransmits', 'cpu_bound',
];

export interface Test {
  /** Milliseconds. */
  at: number;
  position: number;
  status: Row['status'];
  error: string | null;
  down: number | null;
  up: number | null;
  idle: number | null;
  loaded: number | null;
  /** What the load adds to a round trip, in milliseconds. */
  added: number | null;
  downAgain: number | null;
  upAgain: number | null;
  /** Our own processor was the limit: the rates are "at least". */
  isCpuBound: boolean;
}

const GRADES: readonly [number, string][] = [[5, 'A+'], [30, 'A'], [60, 'B'], [200, 'C'], [400, 'D']];

/** The grade that is commonly given to added latency (METRICS.md): A+ under 5 ms, then A, B, C, D, F. */
export function grade(addedMs: number): string {
  return GRADES.find(([limit]) => addedMs < limit)?.[1] ?? 'F';
}

/** Rows of the metric bandwidth, newest first, as tests, oldest first. */
export function testsOf(rows: readonly Row[]): Test[] {
  return rows.toReversed().map((row) => {
    const number = (name: string) => (typeof row[name] === 'number' ? row[name] : null);
    const [idle, loaded] = [number('idle_rtt_ms'), number('loaded_rtt_ms')];
    return {
      at: Date.parse(row.timestamp),
      position: row.position,
      status: row.status,
      error: row.error ?? null,
      down: number('down_mbps'),
      up: number('up_mbps'),
      idle,
      loaded,
      // Noise may make the loaded one the shorter: nothing was added then.
      added: idle === null || loaded === null ? null : Math.max(0, loaded - idle),
      downAgain: number('down_retransmits'),
      upAgain: number('up_retransmits'),
      isCpuBound: row['cpu_bound'] === true,
    };
  });
}

export type Rated = 'down' | 'up' | 'added' | 'idle' | 'loaded' | 'downAgain' | 'upAgain';

/** The middle of a figure over the tests that have it, and its 5th and 95th percentile. */
export function middleOf(tests: readonly Test[], of: Rated): { median: number; low: number; high: number; n: number } | null {
  const values = tests.map((test) => test[of]).filter((value): value is number => value !== null).sort((a, b) => a - b);
  const [low, median, high] = [quantile(values, 0.05), quantile(values, 0.5), quantile(values, 0.95)];
  return low === null || median === null || high === null ? null : { low, median, high, n: values.length };
}
