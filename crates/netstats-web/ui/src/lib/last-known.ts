// The state that was known last, kept in this browser for when the page is opened while its server is away. Where the
// browser has no such store (plain HTTP from another machine), nothing is kept.

import type { Destination, Job } from './types';

export interface LastKnown {
  /** When that was, in milliseconds. */
  at: number;
  destinations: Destination[];
  jobs: Job[];
}

const STORE = 'last-known';
const KEY = '/last-known.json';

const store = async (): Promise<Cache | null> => ('caches' in globalThis ? caches.open(STORE).catch(() => null) : null);

export async function keep(known: LastKnown): Promise<void> {
  // A full disk is no reason to show less.
  await (await store())?.put(KEY, Response.json(known)).catch(() => undefined);
}

export async function recall(): Promise<LastKnown | null> {
  const found = await (await store())?.match(KEY);
  const known = (await found?.json().catch(() => null)) as Partial<LastKnown> | null | undefined;
  if (typeof known?.at !== 'number' || !Array.isArray(known.destinations) || !Array.isArray(known.jobs)) return null;
  return known as LastKnown;
}

/** After a logout: what somebody was allowed to see is not the next one's. */
export async function forget(): Promise<void> {
  if ('caches' in globalThis) await caches.delete(STORE).catch(() => false);
}
