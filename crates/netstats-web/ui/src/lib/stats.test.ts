import { describe, expect, it } from 'vitest';

import { quantile } from './stats';

describe('statistics in the browser agree with the server', () => {
  it('quantiles are of type 7', () => {
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2.5);
    expect(quantile([1, 2, 3, 4], 0.25)).toBe(1.75);
    expect(quantile([], 0.5)).toBeNull();
  });
});
