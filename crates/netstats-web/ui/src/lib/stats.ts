// What little arithmetic is left to the browser; all statistics come from the server.

/** Quantile with linear interpolation (type 7) of sorted values; null of none. */
export function quantile(sorted: ArrayLike<number>, q: number): number | null {
  const n = sorted.length;
  if (n === 0) return null;
  const at = (n - 1) * Math.min(1, Math.max(0, q));
  const low = Math.floor(at);
  const [a, b] = [sorted[low] ?? 0, sorted[Math.min(n - 1, low + 1)] ?? 0];
  return a + (b - a) * (at - low);
}
