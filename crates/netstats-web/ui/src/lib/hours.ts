// Weekly hours in a time zone, for the preview of a job's next runs. The server decides; this shows what it will.

import type { Day, Hours } from './types';

export const DAYS: Day[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

function minuteOf(clock: string): number | null {
  const found = clock.match(/^(\d{1,2}):(\d{2})$/);
  if (!found) return null;
  const minutes = Number(found[1]) * 60 + Number(found[2]);
  return minutes <= 1_440 && Number(found[2]) < 60 ? minutes : null;
}

/** Weekday (0 is Monday) and minutes after midnight in the zone; null for a zone nobody knows. */
export function localMoment(at: number, timeZone: string): { day: number; minute: number } | null {
  try {
    const parts = new Intl.DateTimeFormat('en-GB', {
      timeZone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    }).formatToParts(at);
    const part = (type: string) => parts.find((each) => each.type === type)?.value ?? '';
    const day = DAYS.indexOf(part('weekday').toLowerCase() as Day);
    return { day, minute: Number(part('hour')) * 60 + Number(part('minute')) };
  } catch {
    return null;
  }
}

/** True inside any span. A span that ends at or before its start goes on past midnight. */
export function isInside(hours: Hours, at: number): boolean {
  const moment = localMoment(at, hours.time_zone);
  if (!moment) return false;
  return hours.spans.some((span) => {
    const day = DAYS.indexOf(span.day);
    const [from, to] = [minuteOf(span.from), minuteOf(span.to)];
    if (from === null || to === null) return false;
    if (from < to) return moment.day === day && moment.minute >= from && moment.minute < to;
    return (moment.day === day && moment.minute >= from) || (moment.day === (day + 1) % 7 && moment.minute < to);
  });
}

export interface Plan {
  intervalS: number;
  start: number | null;
  end: number | null;
  hours: Hours | null;
}

/** The next `n` runs from `first` on, in steps of the interval, inside the window; at most a fortnight is searched. */
export function preview(plan: Plan, first: number, n: number): number[] {
  const out: number[] = [];
  const step = plan.intervalS * 1000;
  if (!(step > 0)) return out;
  const start = plan.start ?? -Infinity;
  let at = start > first ? first + Math.ceil((start - first) / step) * step : first;
  const limit = at + 14 * 86_400_000;
  // Outside the hours, whole quarters of an hour are skipped: zones and hours change at those.
  while (out.length < n && at < limit && (plan.end === null || at < plan.end)) {
    if (!plan.hours || isInside(plan.hours, at)) {
      out.push(at);
      at += step;
    } else {
      at += Math.max(1, Math.ceil((60_000 - (at % 60_000)) / step)) * step;
    }
  }
  return out;
}
