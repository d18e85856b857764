// What the browser loads before the first page can be shown: the scripts that index.html names, gzipped as they are
// sent. `npm run size` builds into a temporary folder and fails past the budget.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { build } from 'vite';

const BUDGET_KIB = 120;
const outDir = mkdtempSync(join(tmpdir(), 'network-stats-ui-'));
try {
  await build({ logLevel: 'error', build: { outDir, emptyOutDir: true } });
  const page = readFileSync(join(outDir, 'index.html'), 'utf8');
  const scripts = [...page.matchAll(/(?:src|href)="(\/[^"]+\.js)"/g)].map(([, path]) => path);
  const bytes = scripts.map((path) => gzipSync(readFileSync(join(outDir, path)), { level: 9 }).length);
  scripts.forEach((path, i) => console.log(`${(bytes[i] / 1024).toFixed(1).padStart(7)} KiB  ${path}`));
  const total = bytes.reduce((a, b) => a + b, 0) / 1024;
  console.log(`${total.toFixed(1).padStart(7)} KiB  of ${BUDGET_KIB} KiB`);
  if (scripts.length === 0 || total > BUDGET_KIB) process.exitCode = 1;
} finally {
  rmSync(outDir, { recursive: true, force: true });
}
