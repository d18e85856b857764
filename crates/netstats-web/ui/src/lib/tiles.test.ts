import { describe, expect, it } from 'vitest';

import { addTile, moveTile, readTiles, type Tile } from './tiles';

const note = (words: string): Omit<Tile, 'id'> => ({ kind: 'note', destination: null, figure: '', words });

describe('tiles', () => {
  it('survive being saved', () => {
    const tiles = addTile(addTile([], note('a')), { ...note(''), kind: 'chart', destination: 3 });
    expect(readTiles(JSON.stringify(tiles))).toEqual(tiles);
  });
  it('that are none are left out', () => {
    for (const saved of [null, '', '{', '{}', '[1, null, {"kind": "virus", "id": 1}, {"kind": "note"}]']) {
      expect(readTiles(saved)).toEqual([]);
    }
  });
  it('move, and stay within the row', () => {
    const tiles = ['a', 'b', 'c'].reduce<Tile[]>((list, words) => addTile(list, note(words)), []);
    const words = (list: Tile[]) => list.map((tile) => tile.words).join('');
    expect(words(moveTile(tiles, 1, 1))).toBe('bac');
    expect(words(moveTile(tiles, 1, -1))).toBe('abc');
    expect(words(moveTile(tiles, 3, 9))).toBe('abc');
    expect(words(moveTile(tiles, 9, 1))).toBe('abc');
  });
  it('have a limit', () => {
    let tiles: Tile[] = [];
    for (let i = 0; i < 30; i++) tiles = addTile(tiles, note(String(i)));
    expect(tiles).toHaveLength(24);
  });
});
