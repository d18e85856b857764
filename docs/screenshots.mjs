// The pictures of README.md, from the real product: start `network-stats demo`, then at the top of the source tree
//   node docs/screenshots.mjs http://localhost:8080
// Needs Chromium, and the npm packages of crates/netstats-web/ui (its build installs them).
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const { chromium } = createRequire(join(here, '../crates/netstats-web/ui/package.json'))('playwright-core');
const base = (process.argv[2] ?? 'http://localhost:8080').replace(/\/$/, '');
const into = join(here, 'screenshots');
const PAGES = [
  ['overview', '/'],
  ['destination', '/destinations/gateway'],
  ['jobs', '/jobs'],
];

mkdirSync(into, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'],
});
for (const [name, path] of PAGES) {
  const page = await browser.newPage({ viewport: { width: 1100, height: 700 }, colorScheme: 'light' });
  await page.goto(base + path, { waitUntil: 'domcontentloaded' });
  await page.locator('h1').first().waitFor();
  // Charts are drawn when their figures have come.
  await page.waitForFunction(() => document.querySelectorAll('[aria-busy="true"]').length === 0);
  await page.waitForTimeout(1_500);
  await page.screenshot({ path: join(into, `${name}.png`) });
  console.log(`${name}.png`);
  await page.close();
}
await browser.close();
