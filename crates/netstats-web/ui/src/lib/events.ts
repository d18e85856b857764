// An update of the log as a line of the history.

import { text } from './text';
import type { Update } from './types';

export interface Entry {
  position: number;
  at: string;
  kind: string;
  family: 'config' | 'run' | 'observer' | 'sample';
  destinationId: number | null;
  jobId: number | null;
  name: string | null;
  actor: string | null;
  detail: string;
  fields: [string, string][];
}

export function familyOf(kind: string): Entry['family'] {
  if (/^(destination|job|config|annotation|maintenance|accounting|user|token|session|access|export)_/.test(kind)) return 'config';
  if (/^slots?_/.test(kind)) return 'run';
  return /_(measured|traced|resolved)$/.test(kind) ? 'sample' : 'observer';
}

const words = (value: unknown): string =>
  value === null || value === undefined ? '–' : typeof value === 'object' ? JSON.stringify(value) : String(value);

export function describe(update: Update): Entry {
  const data = update.data ?? {};
  const string = (from: Record<string, unknown>, name: string) => (typeof from[name] === 'string' ? from[name] : null);
  const inner = (name: string) => (typeof data[name] === 'object' && data[name] !== null ? data[name] : null) as Record<string, unknown> | null;
  const meta = inner('meta') ?? data;
  const spec = inner('spec') ?? inner('destination') ?? inner('job') ?? data;
  const parts: string[] = [];
  const reason = string(meta, 'reason');
  if (reason) parts.push(text.reason[reason] ?? reason);
  const detail = string(data, 'detail') ?? update.row?.error ?? null;
  if (detail) parts.push(detail);
  if (typeof data['count'] === 'number') parts.push(text.history.slots(data['count']));
  const hidden = new Set(['id', 'meta', 'actor', 'reason', 'detail', 'job_id', 'destination_id', 'command_id', 'latest']);
  const fields = Object.entries(spec === data ? data : { ...spec })
    .filter(([name, value]) => !hidden.has(name) && value !== null && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]): [string, string] => [name, words(value)]);
  return {
    position: update.position,
    at: update.recorded_at,
    kind: update.kind,
    family: familyOf(update.kind),
    destinationId: update.destination_id,
    jobId: update.job_id,
    name: string(spec, 'display_name') ?? string(spec, 'name'),
    actor: string(meta, 'actor'),
    detail: parts.join(' · '),
    fields,
  };
}

/** What a change changed: fields with their values before and after, from the entry of the same thing before it. */
export function changesOf(entry: Entry, before: Entry | undefined): { name: string; before: string; after: string }[] {
  if (!/_changed$/.test(entry.kind) || !before) return [];
  const [old, now] = [new Map(before.fields), new Map(entry.fields)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .map((name) => ({ name, before: old.get(name) ?? '–', after: now.get(name) ?? '–' }))
    .filter((field) => field.before !== field.after);
}

/** True if the two are about the same destination or job. */
export const sameThing = (a: Entry, b: Entry): boolean =>
  a.kind.split('_')[0] === b.kind.split('_')[0] && a.destinationId === b.destinationId && a.jobId === b.jobId && (a.destinationId ?? a.jobId) !== null;
