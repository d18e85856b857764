import { describe, expect, it } from 'vitest';

import { ms, percent, span } from './format';

describe('numbers as people read them', () => {
  it('milliseconds keep three significant digits, to the microsecond', () => {
    expect([0.0134, 0.043, 9.994, 12.34, 99.94, 312.6].map(ms)).toEqual(['0.013', '0.043', '9.99', '12.3', '99.9', '313']);
  });
  it('a little loss is never shown as none, and a little success never as all lost', () => {
    expect([0, 0.01, 5, 33.33, 99.95, 100].map(percent)).toEqual(['0', '<0.1', '5', '33', '>99.9', '100']);
  });
  it('spans have two units at most', () => {
    expect([0, 45, 720, 12_000, 439_200].map(span)).toEqual(['0 s', '45 s', '12 min', '3 h 20 min', '5 d 2 h']);
  });
});
