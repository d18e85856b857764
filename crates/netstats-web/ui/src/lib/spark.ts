// A sparkline's paths. The scale starts at 0, so that a steady line is flat and noise stays noise.

import type { Columns } from './series';

export interface Spark {
  line: string;
  losses: string;
  last: { x: number; y: number } | null;
}

const SLOTS = 60;

export function spark(values: readonly (number | null)[], width: number, height: number): Spark {
  const shown = values.slice(-SLOTS);
  const known = shown.filter((value): value is number => value !== null);
  const top = Math.max(0.05, ...known) * 1.15;
  const step = (width - 4) / (SLOTS - 1);
  const x = (i: number) => round(2 + (SLOTS - shown.length + i) * step);
  const y = (value: number) => round(height - 2 - (value / top) * (height - 4));
  let line = '';
  let losses = '';
  let isDrawing = false;
  shown.forEach((value, i) => {
    if (value === null) {
      losses += `M${x(i)} 1V${height - 1}`;
      isDrawing = false;
      return;
    }
    // A single point between two losses is a dot: a line of no length with round ends.
    line += isDrawing ? `L${x(i)} ${y(value)}` : `M${x(i)} ${y(value)}h0`;
    isDrawing = true;
  });
  const lastValue = shown.at(-1);
  const last = typeof lastValue === 'number' ? { x: x(shown.length - 1), y: y(lastValue) } : null;
  return { line, losses, last };
}

const round = (value: number) => Math.round(value * 10) / 10;

export interface SmokeSpark extends Spark {
  /** Fastest to slowest, and the middle of them, as closed shapes. */
  wide: string;
  band: string;
}

/** The last hour, or whatever lies between `from` and `to` (seconds): as the big chart, without its axes. */
export function smokeSpark(of: Columns, from: number, to: number, width: number, height: number): SmokeSpark {
  const known = (values: readonly (number | null)[]) => values.filter((value): value is number => value !== null);
  // Spikes go past the top; the shape of the rest is what a glance is for.
  const top = Math.max(0.05, ...known(of.high), ...known(of.median)) * 1.15;
  const x = (time: number) => round(2 + ((time - from) / (to - from)) * (width - 4));
  const y = (value: number) => round(Math.max(0, height - 2 - (value / top) * (height - 4)));
  const shape = (low: readonly (number | null)[], high: readonly (number | null)[]) =>
    runs(of.time.map((_, i) => low[i] !== null && high[i] !== null))
      .filter((run) => run.length > 1)
      .map((run) => {
        const points = (values: readonly (number | null)[]) => run.map((i) => `${x(of.time[i] ?? 0)} ${y(values[i] ?? 0)}`);
        return `M${[...points(high), ...points(low).reverse()].join('L')}Z`;
      })
      .join('');
  const line = runs(of.median.map((value) => value !== null))
    .map((run) => run.map((i, at) => `${at === 0 ? 'M' : 'L'}${x(of.time[i] ?? 0)} ${y(of.median[i] ?? 0)}${run.length === 1 ? 'h0' : ''}`).join(''))
    .join('');
  const losses = of.loss.map((loss, i) => ((loss ?? 0) > 0 ? `M${x(of.time[i] ?? 0)} ${loss === 100 ? 1 : height - 6}V${height - 1}` : '')).join('');
  const at = of.median.length - 1;
  const last = of.median[at];
  return { wide: shape(of.min, of.max), band: shape(of.low, of.high), line, losses, last: typeof last === 'number' ? { x: x(of.time[at] ?? 0), y: y(last) } : null };
}

/** Indexes of neighbours for which it holds. */
function runs(holds: readonly boolean[]): number[][] {
  const out: number[][] = [];
  holds.forEach((is, i) => {
    if (!is) return;
    if (i > 0 && holds[i - 1]) out.at(-1)?.push(i);
    else out.push([i]);
  });
  return out;
}
