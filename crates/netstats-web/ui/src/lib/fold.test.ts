import { describe, expect, it } from 'vitest';

import { statusOf } from './fold';
import type { Row } from './types';

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
