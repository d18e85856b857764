import { describe, expect, it } from 'vitest';

import { foldSample, NOTHING, statusOf } from './fold';
import type { Row, Update } from './types';

const row = (metric: string, status: string) => ({ metric, status }) as Row;

describe('what a sample says of its destination', () => {
  it('follows the outcome', () => {
    const outcomes = ['success', 'partial', 'timeout', 'unreachable', 'refused', 'error', 'unknown'];
    expect(outcomes.map((status) => statusOf(row('ping', status)))).toEqual([
      'up', 'degraded', 'down', 'down', 'down', 'unknown', 'unknown',
    ]);
  });
  it('is nothing for a route or a bandwidth test', () => {
    expect(statusOf(row('traceroute', 'timeout'))).toBeNull();
    expect(statusOf(row('bandwidth', 'error'))).toBeNull();
  });
});

describe('the figures of a destination', () => {
  const http = { ...NOTHING, status: 'up' as const, probe: 'http', response_time_ms: 30, recent: [30] };
  const after = (metric: string, ms: number) =>
    foldSample(http, { position: 9, row: { ...row(metric, 'success'), response_time_ms: ms } } as Update);

  it('are those of the probe that leads', () => {
    expect(after('http', 31).latest.recent).toEqual([30, 31]);
    const tcp = after('tcp', 1);
    expect([tcp.latest.response_time_ms, tcp.latest.recent, tcp.isUncertain]).toEqual([30, [30], false]);
  });
  it('are asked for when a ping takes over', () => {
    expect(after('ping', 1).isUncertain).toBe(true);
  });
});
