// REST: one function a request, and one error type that carries what the server said.

import { text } from './text';
import type {
  Accounting,
  Analytics,
  Annotation,
  AnnotationInput,
  Anomalies,
  Compared,
  Destination,
  DestinationInput,
  ExportInput,
  ExportJob,
  ExportRun,
  Figure,
  Health,
  Heatmap,
  Job,
  JobInput,
  List,
  LiveTest,
  Maintenance,
  Me,
  Outage,
  Pair,
  Paths,
  Policy,
  Role,
  Row,
  Series,
  Token,
  Top,
  User,
  WhatIf,
} from './types';

/** A refusal (RFC 9457) or no answer at all (status 0). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly field: string | null = null,
    readonly accepted: string | null = null,
    readonly hint: string | null = null,
  ) {
    super(message);
    this.name = 'Problem';
  }

  /** Message, what is accepted, and what to do: in one text. */
  get whole(): string {
    const parts = [sentence(this.message)];
    if (this.accepted) parts.push(text.problem.accepted(this.accepted));
    if (this.hint) parts.push(sentence(this.hint));
    return parts.join(' ');
  }
}

function sentence(words: string): string {
  const start = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.?!]$/.test(start) ? start : `${start}.`;
}

/** Answered the same at any moment looked at: how the program does, who asks, the log's own list. */
const TIMELESS = /^\/api\/(health|me|login|logout|setup|users|tokens|events|config|policy)\b/;

export interface Answer<T> {
  body: T;
  /** Where the next page is, if there is one. */
  next: string | null;
}

/** The moment of the past that is looked at, as the API takes it; null is now. */
let asOf: string | null = null;

/** What every read asks with from now on. */
export function lookAt(moment: string | null): void {
  asOf = moment;
}

/** Proves that a change comes from this page; null without a session. */
let csrf: string | null = null;
/** Told when the server wants a login. */
let onLogin: () => void = () => undefined;

export function useSession(secret: string | null, loginWanted: () => void): void {
  csrf = secret;
  onLogin = loginWanted;
}

async function request<T>(method: string, address: string, body?: unknown, signal?: AbortSignal): Promise<Answer<T>> {
  // The past is looked at; what happened cannot be changed there.
  if (asOf !== null && method !== 'GET' && address !== '/api/what-if' && !TIMELESS.test(address)) throw new Problem(0, text.past.readOnly, null, null, text.past.readOnlyHint);
  const isTimeless = asOf === null || TIMELESS.test(address) || address.includes('as_of=');
  const path = isTimeless ? address : `${address}${address.includes('?') ? '&' : '?'}as_of=${encodeURIComponent(asOf ?? '')}`;
  const init: RequestInit = { method, headers: { Accept: 'application/json' }, cache: 'no-store' };
  if (signal) init.signal = signal;
  if (csrf !== null && method !== 'GET') init.headers = { ...init.headers, 'X-NSC-CSRF': csrf };
  if (body !== undefined) {
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new Problem(0, text.problem.offline, null, null, text.problem.offlineHint);
  }
  const parsed: unknown = await response.json().catch(() => null);
  // A failing health report is a report.
  if (!response.ok && !(path === '/api/health' && parsed && typeof parsed === 'object' && 'version' in parsed)) {
    if (response.status === 401 && path !== '/api/login') onLogin();
    throw problemOf(response.status, parsed);
  }
  return { body: parsed as T, next: nextOf(response.headers.get('Link')) };
}

export function problemOf(status: number, parsed: unknown): Problem {
  const of = (parsed && typeof parsed === 'object' ? parsed : {}) as Record<string, unknown>;
  const string = (name: string) => (typeof of[name] === 'string' ? of[name] : null);
  const message = string('detail') ?? string('title') ?? text.problem.status(status);
  return new Problem(status, message, string('field'), string('accepted'), string('hint'));
}

/** The address of `rel="next"` in a Link header, if it is a path of this server. */
export function nextOf(link: string | null): string | null {
  const found = link?.match(/<(\/[^/>][^>]*)>\s*;\s*rel="?next"?/);
  return found?.[1] ?? null;
}

const id = (entry: number | string) => encodeURIComponent(String(entry));

export interface RowQuery {
  job: number;
  destination?: number;
  metric?: string;
  from?: Date;
  to?: Date;
  limit?: number;
  newestFirst?: boolean;
  /** Columns; all of them without it. */
  fields?: string[];
}

function rowsPath(query: RowQuery): string {
  const ask = new URLSearchParams();
  if (query.destination !== undefined) ask.set('destination', String(query.destination));
  if (query.metric) ask.set('metric', query.metric);
  if (query.from) ask.set('start_time', query.from.toISOString());
  if (query.to) ask.set('end_time', query.to.toISOString());
  if (query.fields) ask.set('fields', query.fields.join(','));
  if (query.limit) ask.set('limit', String(query.limit));
  if (query.newestFirst) ask.set('order', 'desc');
  return `/api/jobs/${id(query.job)}/metrics?${ask}`;
}

/** A range of samples of one probe. Times in milliseconds. */
export interface Asked {
  destination?: number | number[];
  job?: number | undefined;
  metric?: string | undefined;
  from: number;
  to: number;
}

type Word = string | number | boolean | undefined | null;

/** The address with what is given of the query. */
export function withQuery(path: string, query: Record<string, Word>): string {
  const ask = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') ask.set(name, String(value));
  }
  const words = ask.toString();
  return words ? `${path}?${words}` : path;
}

const iso = (at: number) => new Date(at).toISOString();

const askedOf = ({ destination, job, metric, from, to }: Asked): Record<string, Word> => ({
  destination: Array.isArray(destination) ? destination.join(',') : destination,
  job,
  metric,
  start_time: iso(from),
  end_time: iso(to),
});

async function read<T>(path: string, query: Record<string, Word>, signal?: AbortSignal): Promise<T> {
  return (await request<T>('GET', withQuery(path, query), undefined, signal)).body;
}

export const api = {
  series: (asked: Asked, points: number, signal?: AbortSignal) =>
    read<Series>('/api/series', { ...askedOf(asked), max_points: points }, signal),
  analytics: ({ destination, ...asked }: Asked, signal?: AbortSignal) =>
    read<Analytics>(`/api/destinations/${id(String(destination))}/analytics`, askedOf(asked), signal),
  top: (asked: Asked, by: Figure, worst: number, tag: string, signal?: AbortSignal) =>
    read<Top>('/api/top', { ...askedOf(asked), by, worst, tag }, signal),
  heatmap: (asked: Asked, by: Figure, tz: string, signal?: AbortSignal) =>
    read<Heatmap>('/api/heatmap', { ...askedOf(asked), by, tz }, signal),
  /** Of the status, which all jobs and probes of a destination make together. */
  outages: ({ destination, from, to }: Asked, limit: number, signal?: AbortSignal) =>
    read<{ items: Outage[]; total: number }>('/api/outages', { ...askedOf({ from, to, ...(destination === undefined ? {} : { destination }) }), limit }, signal),
  accounting: (signal?: AbortSignal) => read<Accounting>('/api/accounting', {}, signal),
  changeAccounting: async (input: Accounting) => (await request<Accounting>('PATCH', '/api/accounting', input)).body,
  /** Accounts under another method; nothing is changed, so this may be asked of the past as well. */
  whatIf: async (asked: Asked, accounting: Accounting, signal?: AbortSignal) => {
    const { destination, from, to } = asked;
    const destinations = destination === undefined ? {} : { destinations: [destination].flat().map(String) };
    const input = { start_time: iso(from), end_time: iso(to), ...destinations, accounting };
    return (await request<WhatIf>('POST', '/api/what-if', input, signal)).body;
  },
  correlation: (asked: Asked, by: Figure, signal?: AbortSignal) =>
    read<{ items: Pair[] }>('/api/correlation', { ...askedOf(asked), by }, signal),
  anomalies: (asked: Asked, by: Figure, tz: string, signal?: AbortSignal) =>
    read<Anomalies>('/api/anomalies', { ...askedOf(asked), by, tz }, signal),
  paths: (asked: Asked, diff: string, signal?: AbortSignal) => read<Paths>('/api/paths', { ...askedOf(asked), diff }, signal),
  compare: (asked: Asked, other: { destination?: number; from?: number; to?: number }, signal?: AbortSignal) =>
    read<Compared>(
      '/api/compare',
      {
        ...askedOf(asked),
        other: other.destination,
        other_start_time: other.from === undefined ? undefined : iso(other.from),
        other_end_time: other.to === undefined ? undefined : iso(other.to),
      },
      signal,
    ),
  annotations: (asked: Asked, signal?: AbortSignal) => read<List<Annotation>>('/api/annotations', askedOf(asked), signal),
  addAnnotation: async (input: AnnotationInput) => (await request<Annotation>('POST', '/api/annotations', input)).body,
  removeAnnotation: async (of: number) => (await request('DELETE', `/api/annotations/${id(of)}`)).body,
  maintenance: (asked: Asked, signal?: AbortSignal) => read<List<Maintenance>>('/api/maintenance', askedOf(asked), signal),
  addMaintenance: async (input: AnnotationInput) => (await request<Maintenance>('POST', '/api/maintenance', input)).body,
  removeMaintenance: async (of: number) => (await request('DELETE', `/api/maintenance/${id(of)}`)).body,
  destinations: async () => (await request<List<Destination>>('GET', '/api/destinations')).body,
  destination: async (of: number | string) => (await request<Destination>('GET', `/api/destinations/${id(of)}`)).body,
  addDestination: async (input: DestinationInput) =>
    (await request<Destination>('POST', '/api/destinations', input)).body,
  changeDestination: async (of: number, input: DestinationInput) =>
    (await request<Destination>('PUT', `/api/destinations/${id(of)}`, input)).body,
  removeDestination: async (of: number) => (await request('DELETE', `/api/destinations/${id(of)}`)).body,
  /** Probes a host once, now; nothing is recorded. */
  test: async (input: { host: string; port: number | null; metric: string }) =>
    (await request<LiveTest>('POST', '/api/test', input)).body,
  jobs: async () => (await request<List<Job>>('GET', '/api/jobs')).body,
  addJob: async (input: JobInput) => (await request<Job>('POST', '/api/jobs', input)).body,
  changeJob: async (of: number, input: JobInput) => (await request<Job>('PUT', `/api/jobs/${id(of)}`, input)).body,
  removeJob: async (of: number) => (await request('DELETE', `/api/jobs/${id(of)}`)).body,
  startJob: async (of: number) => (await request<Job>('POST', `/api/jobs/${id(of)}/start`)).body,
  stopJob: async (of: number) => (await request<Job>('POST', `/api/jobs/${id(of)}/stop`)).body,
  me: async () => (await request<Me>('GET', '/api/me')).body,
  login: async (name: string, password: string) => (await request<Me>('POST', '/api/login', { name, password })).body,
  setup: async (token: string, name: string, password: string) =>
    (await request<Me>('POST', '/api/setup', { token, name, password })).body,
  logout: async () => (await request('POST', '/api/logout')).body,
  changePassword: async (old: string, next: string) => (await request('POST', '/api/me/password', { old, new: next })).body,
  users: async (signal?: AbortSignal) => (await request<List<User>>('GET', '/api/users', undefined, signal)).body,
  addUser: async (input: { name: string; role: Role; password: string }) => (await request<User>('POST', '/api/users', input)).body,
  changeUser: async (of: number, input: { role: Role }) => (await request<User>('PATCH', `/api/users/${id(of)}`, input)).body,
  removeUser: async (of: number) => (await request('DELETE', `/api/users/${id(of)}`)).body,
  tokens: async (signal?: AbortSignal) => (await request<List<Token>>('GET', '/api/tokens', undefined, signal)).body,
  addToken: async (input: { name: string; role: Role; expires_at: string | null }) =>
    (await request<Token>('POST', '/api/tokens', input)).body,
  removeToken: async (of: number) => (await request('DELETE', `/api/tokens/${id(of)}`)).body,
  exports: async (signal?: AbortSignal) => (await request<List<ExportJob>>('GET', '/api/exports', undefined, signal)).body,
  exportRuns: async (of: number, signal?: AbortSignal) =>
    (await request<List<ExportRun>>('GET', `/api/exports/${id(of)}/runs`, undefined, signal)).body,
  addExport: async (input: ExportInput) => (await request<ExportJob>('POST', '/api/exports', input)).body,
  changeExport: async (of: number, input: Partial<ExportInput>) => (await request<ExportJob>('PATCH', `/api/exports/${id(of)}`, input)).body,
  removeExport: async (of: number) => (await request('DELETE', `/api/exports/${id(of)}`)).body,
  runExport: async (of: number) => (await request('POST', `/api/exports/${id(of)}/run`)).body,
  cancelExport: async (of: number) => (await request('POST', `/api/exports/${id(of)}/cancel`)).body,
  undo: async (position: number) => (await request<{ position: number }>('POST', `/api/undo/${position}`)).body,
  policy: async (signal?: AbortSignal) => (await request<Policy>('GET', '/api/policy', undefined, signal)).body,
  health: async () => (await request<Health>('GET', '/api/health')).body,
  reloadConfig: async () =>
    (await request<{ position: number; changed: number; warnings: string[] }>('POST', '/api/config/reload')).body,
  /** All rows of the range, page after page, at most `most`. */
  rows: async (query: RowQuery, signal?: AbortSignal, most = 100_000): Promise<Row[]> => {
    const rows: Row[] = [];
    let path: string | null = rowsPath(query);
    while (path && rows.length < most) {
      const answer: Answer<Row[]> = await request<Row[]>('GET', path, undefined, signal);
      rows.push(...answer.body);
      path = query.limit && rows.length >= query.limit ? null : answer.next;
    }
    return rows;
  },
};
