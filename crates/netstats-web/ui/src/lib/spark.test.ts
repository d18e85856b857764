import { expect, test } from 'vitest';
import { NO_COLUMNS, type Columns } from './series';
import { smokeSpark, spark } from './spark';

const columns = (of: Partial<Columns>): Columns => ({ ...NO_COLUMNS, ...of });

test('a lost burst breaks the line and is marked', () => {
  const { line, losses } = spark([1, null, 2], 64, 26);
  expect(line.match(/M/g)).toHaveLength(2);
  expect(losses.match(/M/g)).toHaveLength(1);
});

test('smoke lies where the time is, and is interrupted where nothing came back', () => {
  const drawn = smokeSpark(
    columns({
      time: [0, 10, 20, 30, 40],
      median: [5, 5, null, 5, 5],
      low: [4, 4, null, 4, 4],
      high: [6, 6, null, 6, 6],
      min: [3, 3, null, 3, 3],
      max: [9, 9, null, 9, 9],
      loss: [0, 10, 100, 0, 0],
    }),
    0, 40, 104, 30,
  );
  expect(drawn.line).toBe('M2 9.2L27 9.2M77 9.2L102 9.2');
  expect(drawn.band.match(/Z/g)).toHaveLength(2);
  expect(drawn.losses).toBe('M27 24V29M52 1V29');
  expect(drawn.last).toEqual({ x: 102, y: 9.2 });
});

test('nothing known is nothing drawn', () => {
  expect(smokeSpark(NO_COLUMNS, 0, 1, 100, 20)).toEqual({ wide: '', band: '', line: '', losses: '', last: null });
});
