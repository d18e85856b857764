// What all uPlot charts share: colours from the theme, 24-hour times, ISO dates.

import type uPlot from 'uplot';

export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export const TIMES: (string | number | null)[][] = [
  [3600 * 24 * 365, '{YYYY}', null, null, null, null, null, null, 1],
  [3600 * 24 * 28, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [3600 * 24, '{MM}-{DD}', '\n{YYYY}', null, null, null, null, null, 1],
  [3600, '{HH}:{mm}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [60, '{HH}:{mm}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{MM}-{DD}', null, '\n{MM}-{DD}', null, null, null, 1],
];

export const milliseconds = (value: number): string =>
  `${String(Number(value.toPrecision(value < 1 && value > 0 ? 2 : 6)))} ms`;

export function axes(unit: (value: number) => string, hasTime: boolean): uPlot.Axis[] {
  const common = {
    stroke: colour('--muted'),
    font: `12px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1, size: 5 },
  };
  return [
    { ...common, show: true, values: hasTime ? TIMES : () => [], size: hasTime ? 40 : 6 } as uPlot.Axis,
    { ...common, size: 58, values: (_, splits) => splits.map((value) => (value === null ? '' : unit(value))) },
  ];
}
