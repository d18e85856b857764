// The dashboard's own tiles, kept in this browser: which, and in which order.

export const TILE_KINDS = ['chart', 'stat', 'table', 'top', 'heatmap', 'note'] as const;
export type TileKind = (typeof TILE_KINDS)[number];

export interface Tile {
  id: number;
  kind: TileKind;
  /** Of a chart, a figure, a heatmap. */
  destination: number | null;
  /** Of a figure: rtt, loss or jitter; of a list: by what. */
  figure: string;
  /** Of a note; of a table the tag whose destinations it has, none for all. */
  words: string;
}

const MOST = 24;

/** Reads what was saved; what is not a tile is left out, whatever it is. */
export function readTiles(saved: string | null): Tile[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(saved ?? '[]');
  } catch {
    return [];
  }
  if (!Array.isArray(parsed)) return [];
  return parsed.flatMap((each: unknown): Tile[] => {
    if (typeof each !== 'object' || each === null) return [];
    const of = each as Record<string, unknown>;
    const kind = TILE_KINDS.find((kind) => kind === of['kind']);
    if (!kind || typeof of['id'] !== 'number') return [];
    return [
      {
        id: of['id'],
        kind,
        destination: typeof of['destination'] === 'number' ? of['destination'] : null,
        figure: typeof of['figure'] === 'string' ? of['figure'] : '',
        words: typeof of['words'] === 'string' ? of['words'] : '',
      },
    ];
  }).slice(0, MOST);
}

export const addTile = (tiles: readonly Tile[], tile: Omit<Tile, 'id'>): Tile[] =>
  tiles.length >= MOST ? [...tiles] : [...tiles, { ...tile, id: Math.max(0, ...tiles.map(({ id }) => id)) + 1 }];

/** Moves a tile by a number of places; past the ends it stays at the end. */
export function moveTile(tiles: readonly Tile[], id: number, by: number): Tile[] {
  const from = tiles.findIndex((tile) => tile.id === id);
  const tile = tiles[from];
  if (!tile) return [...tiles];
  const rest = tiles.filter((other) => other !== tile);
  const to = Math.min(rest.length, Math.max(0, from + by));
  return [...rest.slice(0, to), tile, ...rest.slice(to)];
}
