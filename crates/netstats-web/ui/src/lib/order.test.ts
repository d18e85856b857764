import { describe, expect, it } from 'vitest';

import { groupByTag } from './order';
import type { Item } from './live.svelte';

const item = (id: number, tags: string[]) => ({ id, spec: { tags } }) as unknown as Item;

describe('groups by tag', () => {
  it('hold an item under each of its tags, and those without one at the end', () => {
    const groups = groupByTag([item(1, ['web', 'cloud']), item(2, []), item(3, ['web'])]);
    expect(groups.map(({ tag, items }) => [tag, items.map(({ id }) => id)])).toEqual([
      ['cloud', [1]],
      ['web', [1, 3]],
      ['', [2]],
    ]);
  });
});
