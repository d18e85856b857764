import { expect, test } from 'vitest';
import { grade, middleOf, testsOf } from './bandwidth';
import type { Row } from './types';

const row = (minute: number, of: Record<string, unknown>): Row =>
  ({ timestamp: `2026-11-24T04:${String(minute).padStart(2, '0')}:00.000Z`, position: minute, status: 'success', error: null, ...of }) as unknown as Row;

test('grades are those of METRICS.md, each from its limit on', () => {
  expect([0, 4.9, 5, 29.9, 30, 60, 199, 200, 399, 400, 9000].map(grade)).toEqual(['A+', 'A+', 'A', 'A', 'B', 'C', 'C', 'D', 'D', 'F', 'F']);
});

test('a test that moved nothing has no rate, and is not counted as 0', () => {
  const tests = testsOf([
    row(3, { down_mbps: 90, up_mbps: 10, idle_rtt_ms: 9, loaded_rtt_ms: 21.5, up_retransmits: 0 }),
    row(2, { status: 'error', error: 'no connection', down_mbps: null, up_mbps: null }),
    row(1, { down_mbps: 110, up_mbps: null, idle_rtt_ms: 9, loaded_rtt_ms: 8.5 }),
  ]);
  expect(tests.map(({ position }) => position)).toEqual([1, 2, 3]);
  expect(tests.map(({ down }) => down)).toEqual([110, null, 90]);
  expect(tests.map(({ added }) => added)).toEqual([0, null, 12.5]);
  expect(tests.map(({ upAgain }) => upAgain)).toEqual([null, null, 0]);
  expect(middleOf(tests, 'down')).toEqual({ median: 100, low: 91, high: 109, n: 2 });
  expect(middleOf(tests, 'downAgain')).toBeNull();
});
