// Addresses of the interface. A page's first segment is in PAGES, which the server knows too (src/table.rs): those
// paths are answered with this page, and the rest of the address is read here.

export const PAGES = ['destinations', 'jobs', 'analytics', 'history', 'reports', 'settings', 'login'] as const;

export type Route =
  | { page: 'dashboard' }
  | { page: 'destinations' }
  | { page: 'destination-new' }
  | { page: 'destination'; id: string }
  | { page: 'destination-edit'; id: string }
  | { page: 'jobs' }
  | { page: 'job-new' }
  | { page: 'job'; id: string }
  | { page: 'analytics' }
  | { page: 'history' }
  | { page: 'reports' }
  | { page: 'login' }
  | { page: 'settings' }
  | { page: 'unknown'; path: string };

export function routeOf(path: string): Route {
  const parts = path.split('/').filter((part) => part !== '');
  const [first, second, third, ...rest] = parts;
  const unknown: Route = { page: 'unknown', path };
  if (first === undefined) return { page: 'dashboard' };
  if (rest.length > 0) return unknown;
  let id: string;
  try {
    id = decodeURIComponent(second ?? '');
  } catch {
    return unknown;
  }
  switch (first) {
    case 'destinations':
      if (second === undefined) return { page: 'destinations' };
      if (third === undefined) return id === 'new' ? { page: 'destination-new' } : { page: 'destination', id };
      return third === 'edit' ? { page: 'destination-edit', id } : unknown;
    case 'jobs':
      if (second === undefined) return { page: 'jobs' };
      if (third === undefined) return id === 'new' ? { page: 'job-new' } : { page: 'job', id };
      return unknown;
    case 'analytics':
    case 'history':
    case 'reports':
    case 'login':
    case 'settings':
      return second === undefined ? { page: first } : unknown;
    default:
      return unknown;
  }
}

/** A range of time: the last so many seconds, following now, or a fixed one. Times in milliseconds. */
export type Range = { last: number } | { from: number; to: number };

export const PRESETS: [string, number][] = [
  ['15m', 900],
  ['1h', 3_600],
  ['6h', 21_600],
  ['24h', 86_400],
  ['7d', 604_800],
  ['30d', 2_592_000],
  ['90d', 7_776_000],
];

export function readRange(query: URLSearchParams, otherwise: Range): Range {
  const preset = PRESETS.find(([name]) => name === query.get('range'));
  if (preset) return { last: preset[1] };
  const [from, to] = [Date.parse(query.get('from') ?? ''), Date.parse(query.get('to') ?? '')];
  return Number.isFinite(from) && Number.isFinite(to) && from < to ? { from, to } : otherwise;
}

export function writeRange(query: URLSearchParams, range: Range): void {
  for (const name of ['range', 'from', 'to']) query.delete(name);
  if ('last' in range) {
    const preset = PRESETS.find(([, seconds]) => seconds === range.last);
    if (preset) query.set('range', preset[0]);
  } else {
    query.set('from', new Date(range.from).toISOString());
    query.set('to', new Date(range.to).toISOString());
  }
}

export function boundsOf(range: Range, now: number): { from: number; to: number } {
  return 'last' in range ? { from: now - range.last * 1000, to: now } : range;
}

/** The moment of `as_of=` in milliseconds; null where it is not there or is none. */
export function momentOf(query: URLSearchParams): number | null {
  const at = Date.parse(query.get('as_of') ?? '');
  return Number.isFinite(at) ? at : null;
}

/** The address with the moment that is looked at now, if it names none itself. */
export function keepMoment(address: string, query: URLSearchParams): string {
  const asOf = query.get('as_of');
  const [path, words] = address.split('?', 2);
  if (asOf === null) return address;
  const next = new URLSearchParams(words ?? '');
  if (!next.has('as_of')) next.set('as_of', asOf);
  return `${path}?${next}`;
}
