import { describe, expect, it } from 'vitest';

import { quantile, wilson } from './stats';

describe('statistics in the browser agree with the server', () => {
  it('quantiles are of type 7', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([1, 2, 3, 4], 0.25)).toBe(1.75);
    expect(quantile([], 0.5)).toBeNull();
  });
  it('one lost of twenty says 0.9 to 24 percent', () => {
    const interval = wilson(1, 20);
    expect(interval?.[0]).toBeCloseTo(0.0089, 3);
    expect(interval?.[1]).toBeCloseTo(0.2361, 3);
    expect(wilson(0, 0)).toBeNull();
  });
});
