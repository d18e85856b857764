import { describe, expect, it } from 'vitest';

import { routeOf } from './route';

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
