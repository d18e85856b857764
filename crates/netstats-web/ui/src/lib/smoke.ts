// The last hour of those destinations that can be seen, for the little charts beside them.

import { api } from './api';
import type { Item } from './live.svelte';
import { columnsOf } from './series';

const HOUR_S = 3_600;
const POINTS = 60;
/** Asked for at the same time: a browser has six connections to a server, and others want some too. */
const AT_ONCE = 3;
/** Probes that have a response time. */
const TIMED = ['ping', 'http', 'tcp', 'dns'];

/** Reads what is not known yet of the hour that ends at `to` (seconds), one after the other. */
export async function readHours(items: readonly Item[], to: number, signal: AbortSignal): Promise<void> {
  const left = items.filter((item) => item.hour?.to !== to && TIMED.includes(item.latest.probe ?? ''));
  const next = async (): Promise<void> => {
    for (let item = left.shift(); item && !signal.aborted; item = left.shift()) {
      const asked = { destination: item.id, metric: item.latest.probe ?? undefined, from: (to - HOUR_S) * 1000, to: to * 1000 };
      try {
        const series = await api.series(asked, POINTS, signal);
        item.hour = { to, columns: columnsOf(series, (item.interval ?? 60) * 2.5) };
      } catch {
        // The line of the last samples is there already; the next minute asks again.
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}
