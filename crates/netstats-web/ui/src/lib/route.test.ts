import { describe, expect, it } from 'vitest';

import { boundsOf, keepMoment, momentOf, readRange, routeOf, writeRange } from './route';

describe('addresses', () => {
  it('name a page and what is on it', () => {
    expect(routeOf('/')).toEqual({ page: 'dashboard' });
    expect(routeOf('/destinations/new')).toEqual({ page: 'destination-new' });
    expect(routeOf('/destinations/a%2Fb')).toEqual({ page: 'destination', id: 'a/b' });
    expect(routeOf('/jobs/3')).toEqual({ page: 'job', id: '3' });
  });
  it('that mean nothing are unknown, broken escapes included', () => {
    for (const path of ['/nowhere', '/destinations/%zz', '/jobs/1/2/3']) {
      expect(routeOf(path)).toEqual({ page: 'unknown', path });
    }
  });
});

describe('the moment that is looked at', () => {
  it('stays in the address from page to page, and no page names another', () => {
    const query = new URLSearchParams('as_of=2026-11-20T00:00:00.000Z&q=x');
    expect(momentOf(query)).toBe(Date.UTC(2026, 10, 20));
    expect(keepMoment('/jobs', query)).toBe('/jobs?as_of=2026-11-20T00%3A00%3A00.000Z');
    expect(keepMoment('/?tag=a', query)).toBe('/?tag=a&as_of=2026-11-20T00%3A00%3A00.000Z');
    expect(keepMoment('/jobs', new URLSearchParams())).toBe('/jobs');
  });
  it('is now where the address says none', () => {
    expect(momentOf(new URLSearchParams())).toBeNull();
    expect(momentOf(new URLSearchParams('as_of=yesterday'))).toBeNull();
  });
});

describe('ranges', () => {
  it('are read back as they were written', () => {
    for (const range of [{ last: 21_600 }, { from: 1_000_000, to: 2_000_000 }]) {
      const query = new URLSearchParams('range=1h&from=x');
      writeRange(query, range);
      expect(readRange(query, { last: 3_600 })).toEqual(range);
    }
  });
  it('that follow end at the moment looked at', () => {
    expect(boundsOf({ last: 60 }, 1_000_000)).toEqual({ from: 940_000, to: 1_000_000 });
  });
});
