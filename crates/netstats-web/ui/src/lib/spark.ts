// A sparkline's paths. The scale starts at 0, so that a steady line is flat and noise stays noise.

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
