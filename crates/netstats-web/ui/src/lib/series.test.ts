import { describe, expect, it } from 'vitest';

import { columnsOf, lossClass, nearest } from './series';
import type { Series } from './types';

const series = (resolution: string, rows: [number, number | null, number][]): Series =>
  ({
    resolution,
    columns: {
      time: rows.map(([at]) => new Date(at * 1000).toISOString()),
      median_ms: rows.map(([, median]) => median),
      packet_loss_percent: rows.map(([, , loss]) => loss),
      p5_ms: rows.map(() => null),
      p25_ms: rows.map(([, median]) => (median === null ? null : median - 1)),
      p75_ms: rows.map(([, median]) => (median === null ? null : median + 1)),
      p95_ms: rows.map(() => null),
      min_ms: [],
      max_ms: [],
      jitter_ms: [],
    },
  }) as unknown as Series;

describe('columns of a series', () => {
  it('keep what was lost as undefined, never as 0', () => {
    const columns = columnsOf(series('raw', [[0, 5, 0], [60, null, 100]]), 150);
    expect(columns.median).toEqual([5, null]);
    expect(columns.loss).toEqual([0, 100]);
  });
  it('break the line where nothing was measured', () => {
    const columns = columnsOf(series('raw', [[0, 5, 0], [60, 5, 0], [600, 5, 0]]), 150);
    expect(columns.time).toEqual([0, 60, 330, 600]);
    expect(columns.median).toEqual([5, 5, null, 5]);
    expect(columns.loss).toEqual([0, 0, null, 0]);
  });
  it('stand in the middle of their bucket', () => {
    expect(columnsOf(series('600s', [[600, 5, 0]]), 150).time).toEqual([900]);
  });
  it('take the middle half where the outer percentiles are not carried', () => {
    const { low, high } = columnsOf(series('raw', [[0, 5, 0]]), 150);
    expect([low[0], high[0]]).toEqual([4, 6]);
  });
});

describe('the point under the pointer', () => {
  it('is the nearest one', () => {
    expect([-5, 4, 6, 14, 99].map((at) => nearest([0, 10, 20], at))).toEqual([0, 0, 1, 1, 2]);
    expect(nearest([], 1)).toBeNull();
  });
});

describe('classes of loss', () => {
  it('a little is not none', () => {
    expect([0, 0.01, 5, 5.1, 20, 20.1, 100].map(lossClass)).toEqual([0, 1, 1, 2, 2, 3, 3]);
  });
});
