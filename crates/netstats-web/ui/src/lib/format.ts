// Numbers, times and durations as people read them.

import { text } from './text';

/** Three significant digits, to the microsecond that is measured: digits that mean something, of steady width. */
export function ms(value: number): string {
  if (value < 1) return value.toFixed(3);
  if (value < 10) return value.toFixed(2);
  if (value < 100) return value.toFixed(1);
  return value.toFixed(0);
}

/** Mbit/s, as `ms`: three significant digits. */
export const rate = ms;

/** A difference, with its sign and two significant digits. */
export function signed(value: number): string {
  if (Math.abs(value) < 0.000_5) return '0';
  return `${value < 0 ? '−' : '+'}${Number(Math.abs(value).toPrecision(2))}`;
}

export function percent(value: number): string {
  if (value === 0) return '0';
  if (value < 0.1) return '<0.1';
  if (value < 10) return value.toFixed(1).replace(/\.0$/, '');
  return value > 99.9 && value < 100 ? '>99.9' : value.toFixed(0);
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `45 s`, `12 min`, `3 h 20 min`, `5 d 2 h`: two units at most. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const units: [number, string][] = [[86_400, text.unit.d], [3_600, text.unit.h], [60, text.unit.min], [1, text.unit.s]];
  const first = units.findIndex(([size]) => whole >= size);
  if (first < 0) return `0 ${text.unit.s}`;
  const [size, unit] = units[first] ?? [1, text.unit.s];
  const amount = Math.floor(whole / size);
  const next = units[first + 1];
  const rest = next && size > 60 ? Math.floor((whole % size) / next[0]) : 0;
  return next && rest > 0 ? `${amount} ${unit} ${rest} ${next[1]}` : `${amount} ${unit}`;
}

/** How long ago, coarsely, so that it does not change all the time. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, (now - at) / 1000);
  if (seconds < 5) return text.time.now;
  const coarse = seconds < 60 ? Math.floor(seconds / 5) * 5 : seconds < 3_600 ? Math.floor(seconds / 60) * 60 : seconds;
  return text.time.ago(span(coarse));
}

const pad = (value: number, width = 2) => String(value).padStart(width, '0');

/** `2026-11-24 05:03:12` in the viewer's zone. */
export function dateTime(at: number): string {
  const date = new Date(at);
  return `${day(at)} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

export function day(at: number): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

export function clock(at: number): string {
  const date = new Date(at);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** The viewer's zone with its offset then, as `Europe/Berlin, UTC+1`. */
export function zone(at: number): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date(at).getTimezoneOffset();
  if (minutes === 0) return name === 'UTC' ? 'UTC' : `${name}, UTC`;
  const sign = minutes < 0 ? '−' : '+';
  const [h, m] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  return `${name}, UTC${sign}${h}${m ? `:${pad(m)}` : ''}`;
}

/** `2026-11-24T05:03` of the viewer's zone, for inputs of date and time. */
export function localInput(at: string | null): string {
  if (!at) return '';
  const date = new Date(at);
  return `${day(date.getTime())}T${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** Seconds of `90s`, `5m`, `1h30m`, `300`; null if it is none. */
export function parseDuration(words: string): number | null {
  const trimmed = words.trim().replace(/\s+/g, '');
  if (/^\d+$/.test(trimmed)) return Number(trimmed);
  const found = trimmed.match(/^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?$/);
  if (!found || trimmed === '') return null;
  const [d, h, m, s] = found.slice(1).map((part) => Number(part ?? 0));
  return (d ?? 0) * 86_400 + (h ?? 0) * 3_600 + (m ?? 0) * 60 + (s ?? 0);
}

/** `90s`, `5m`, `1h30m`: the way the API writes and reads it. */
export function duration(seconds: number): string {
  const parts: string[] = [];
  let rest = seconds;
  for (const [size, unit] of [[86_400, 'd'], [3_600, 'h'], [60, 'm'], [1, 's']] as const) {
    const amount = Math.floor(rest / size);
    if (amount > 0) parts.push(`${amount}${unit}`);
    rest -= amount * size;
  }
  // 90 s reads better than 1m30s.
  if (seconds < 120 && seconds !== 60) return `${seconds}s`;
  return parts.join('') || '0s';
}

/** Bytes in the unit that fits. */
export function bytes(value: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  const scaled = value / 1000 ** power;
  return `${scaled.toFixed(power === 0 || scaled >= 100 ? 0 : 1)} ${units[power]}`;
}
