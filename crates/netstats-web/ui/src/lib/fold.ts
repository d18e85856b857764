// How one update changes what is shown of a destination, by the server's own rules. Where the outcome is not certain
// (another probe may disagree), the caller asks the server.

import type { Latest, Row, Status, Update } from './types';

export const RECENT = 60;

export const NOTHING: Latest = {
  status: 'unknown',
  since: null,
  last_sample_at: null,
  probe: null,
  response_time_ms: null,
  packet_loss_percent: null,
  jitter_ms: null,
  position: null,
  error: null,
  recent: [],
};

/** Probes whose outcome says how the destination does; a traceroute or a bandwidth test does not. */
const TELLING = new Set(['ping', 'packet_loss', 'jitter', 'dns', 'tcp', 'http']);

export function statusOf(row: Row): Status | null {
  if (!TELLING.has(row.metric)) return null;
  switch (row.status) {
    case 'success':
      return 'up';
    case 'partial':
      return 'degraded';
    case 'timeout':
    case 'unreachable':
    case 'refused':
      return 'down';
    default:
      return 'unknown';
  }
}

export interface Folded {
  latest: Latest;
  /** The status may be another one than the row alone says. */
  isUncertain: boolean;
}

export function foldSample(before: Latest, update: Update): Folded {
  const row = update.row;
  if (!row) return { latest: before, isUncertain: true };
  // A slot that failed on our side measured nothing: the figures stay as they were, and the reason is shown.
  if (row.status === 'error') {
    return { latest: { ...before, error: row.error ?? before.error }, isUncertain: true };
  }
  const latest: Latest = { ...before, last_sample_at: row.timestamp, position: update.position, error: null };
  // Figures are of one probe. Another may lead from now on: the server knows.
  const probe = row.metric === 'packet_loss' || row.metric === 'jitter' ? 'ping' : row.metric;
  if (before.probe === null) return { latest, isUncertain: true };
  if (probe === before.probe) {
    latest.response_time_ms = row.response_time_ms;
    latest.packet_loss_percent = row.packet_loss_percent;
    latest.jitter_ms = row.jitter_ms;
    if (row.status !== 'unknown') {
      latest.recent = [...before.recent.slice(1 - RECENT), row.response_time_ms];
    }
  }
  const mayLead = probe === 'ping' && before.probe !== 'ping';
  const status = statusOf(row);
  if (status === null) return { latest, isUncertain: mayLead };
  const isChanged = status !== before.status && before.status !== 'paused';
  if (isChanged) {
    // A clean burst right after a loss is "degraded" still: the server looks at the last three.
    latest.status = before.status === 'degraded' && status === 'up' ? 'degraded' : status;
    if (latest.status !== before.status) latest.since = row.timestamp;
  }
  return { latest, isUncertain: isChanged || mayLead };
}

/** Older than three intervals and a burst: it no longer says how the destination does. As the server reckons. */
export function isStale(lastSampleAt: string | null, intervalS: number | null, now: number): boolean {
  if (lastSampleAt === null) return true;
  return now - Date.parse(lastSampleAt) > ((intervalS ?? 60) * 3 + 15) * 1000;
}
