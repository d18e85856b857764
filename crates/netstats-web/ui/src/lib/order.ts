// Which destinations are shown, in which order.

import type { Item } from './live.svelte';
import type { Status } from './types';

export type Sort = 'status' | 'name' | 'rtt' | 'loss' | 'jitter' | 'last';
export const SORTS: Sort[] = ['status', 'name', 'rtt', 'loss', 'jitter', 'last'];

/** The worst first. */
const RANK: Record<Status, number> = { down: 0, degraded: 1, unknown: 2, suppressed: 3, up: 4, paused: 5 };

const names = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });

export function sortItems(items: readonly Item[], by: Sort, isDescending: boolean): Item[] {
  const value = (item: Item): number | null => {
    switch (by) {
      case 'status':
        return RANK[item.status];
      case 'rtt':
        return item.latest.response_time_ms;
      case 'loss':
        return item.latest.packet_loss_percent;
      case 'jitter':
        return item.latest.jitter_ms;
      case 'last':
        return item.latest.last_sample_at === null ? null : Date.parse(item.latest.last_sample_at);
      case 'name':
        return 0;
    }
  };
  const sign = isDescending ? -1 : 1;
  return [...items].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    // Undefined is last in both directions.
    if (x === null || y === null) {
      if (x !== y) return x === null ? 1 : -1;
    } else if (x !== y) return sign * (x - y);
    return (by === 'name' ? sign : 1) * (names.compare(a.name, b.name) || a.id - b.id);
  });
}

export interface Filter {
  words: string;
  only: Status | '';
  tag: string;
}

export function matches(item: Item, { words, only, tag }: Filter): boolean {
  if (only && item.status !== only) return false;
  if (tag && !item.spec.tags.includes(tag)) return false;
  const { name, host, display_name, description, tags } = item.spec;
  const all = [name, host, display_name ?? '', description ?? '', ...tags].join('\n').toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => all.includes(word));
}

/** Items by tag, in the order of tags; those with several are in each, those with none in the last (empty) one. */
export function groupByTag(items: readonly Item[]): { tag: string; items: Item[] }[] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    for (const tag of item.spec.tags.length > 0 ? item.spec.tags : ['']) {
      const group = groups.get(tag);
      if (group) group.push(item);
      else groups.set(tag, [item]);
    }
  }
  return [...groups]
    .map(([tag, items]) => ({ tag, items }))
    .sort((a, b) => (a.tag === '' ? 1 : b.tag === '' ? -1 : names.compare(a.tag, b.tag)));
}
