// Destinations typed or pasted in bulk: one a line, as `host`, `name host`, or comma separated
// `name, host, tags with spaces, display name`. A header line that names the columns may come first.

import type { DestinationInput } from './types';

export interface Line {
  /** Counted from 1. */
  number: number;
  input: DestinationInput | null;
  /** Why it is not taken. */
  error: 'no-host' | 'twice' | null;
}

const COLUMNS = ['name', 'host', 'tags', 'display_name', 'port', 'description'] as const;
type Column = (typeof COLUMNS)[number];

export function splitTags(words: string): string[] {
  return [...new Set(words.split(/[\s,;]+/).filter((tag) => tag !== ''))];
}

/** A name made of a host: what is allowed in both stays. */
export function nameOf(host: string): string {
  return host.trim().replace(/\.$/, '').toLowerCase();
}

/** Splits at commas, semicolons or tabs outside quotes (RFC 4180). */
export function cells(line: string): string[] {
  const separator = line.includes('\t') ? '\t' : line.includes(';') ? ';' : ',';
  const out: string[] = [];
  let cell = '';
  let isQuoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (isQuoted) {
      if (c !== '"') cell += c;
      else if (line[i + 1] === '"') {
        cell += '"';
        i++;
      } else isQuoted = false;
    } else if (c === '"' && cell.trim() === '') {
      cell = '';
      isQuoted = true;
    } else if (c === separator) {
      out.push(cell.trim());
      cell = '';
    } else cell += c;
  }
  out.push(cell.trim());
  return out;
}

export function parseLines(words: string, defaults: { tags: string[]; status: 'active' | 'paused' }): Line[] {
  let order: readonly Column[] = COLUMNS;
  const lines: Line[] = [];
  const names = new Set<string>();
  words.split(/\r?\n/).forEach((raw, at) => {
    const line = raw.replace(/^\uFEFF/, '').trim();
    if (line === '' || line.startsWith('#')) return;
    let parts = cells(line);
    if (parts.length === 1) {
      const words = line.split(/\s+/);
      // `host`, or `name host`
      parts = words.length === 1 ? ['', line] : [words[0] ?? '', words[1] ?? '', words.slice(2).join(' ')];
    } else {
      const named = parts.map((part) => part.toLowerCase().replace(/[ -]/g, '_'));
      if (named.includes('host') && named.every((name) => (COLUMNS as readonly string[]).includes(name))) {
        order = named as Column[];
        return;
      }
    }
    const cell = (column: Column) => (parts.length === 2 && order === COLUMNS
      ? parts[['name', 'host'].indexOf(column)]
      : parts[order.indexOf(column)]) ?? '';
    const host = cell('host');
    const name = cell('name') || nameOf(host);
    const port = Number(cell('port'));
    const isTwice = names.has(name.toLowerCase());
    names.add(name.toLowerCase());
    const input: DestinationInput | null = host
      ? {
          name,
          host,
          port: Number.isInteger(port) && port > 0 ? port : null,
          display_name: cell('display_name') || null,
          description: cell('description') || null,
          tags: [...new Set([...splitTags(cell('tags')), ...defaults.tags])],
          status: defaults.status,
        }
      : null;
    lines.push({ number: at + 1, input, error: host === '' ? 'no-host' : isTwice ? 'twice' : null });
  });
  return lines;
}
