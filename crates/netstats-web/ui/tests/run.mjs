// The page in a real browser, fed by a real server: `npm run e2e -- --base-url http://localhost:PORT`.
// The server is a fresh one: its starter job measures this machine's own addresses.
import assert from 'node:assert/strict';

import { chromium } from 'playwright-core';

const at = process.argv.indexOf('--base-url');
const base = at > 0 ? process.argv[at + 1].replace(/\/$/, '') : 'http://localhost:8080';
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const browser = await chromium.launch({ executablePath, args: QUIET });
let passed = 0;

async function open(path, options, test) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => message.type() === 'error' && faults.push(message.text()));
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith('http') && origin !== base) faults.push(`a request to ${origin}`);
  });
  await page.goto(base + path);
  await test(page);
  assert.deepEqual(faults, [], 'errors in the console, or requests to other hosts');
  await context.close();
  passed += 1;
}

const position = (page, id) => page.locator(`.item[data-id="${id}"]`).getAttribute('data-position');

try {
  const { items } = await (await fetch(`${base}/api/destinations`)).json();
  const local = items.find((item) => item.host === '127.0.0.1');
  assert.ok(local, 'the starter block measures 127.0.0.1');

  await open('/', { viewport: { width: 1280, height: 800 } }, async (page) => {
    const line = page.locator(`.item[data-id="${local.id}"]`);
    await line.waitFor({ timeout: 10_000 });
    const name = local.display_name ?? local.name;
    assert.ok((await line.innerText()).includes(name), `${name} is on the page`);
    // The first sample is there, or comes by itself.
    await page.waitForFunction(
      (id) => /\d ?ms|\d\.\d/.test(document.querySelector(`.item[data-id="${id}"]`)?.textContent ?? ''),
      local.id,
      { timeout: 20_000 },
    );
    // A row changes live: a second job measures at once when it is made.
    const before = await position(page, local.id);
    const made = await fetch(`${base}/api/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: `e2e-${Date.now()}`, interval: '60s', metrics: ['ping'], destinations: [local.name] }),
    });
    assert.equal(made.status, 201, await made.text());
    await page.waitForFunction(
      ([id, old]) => document.querySelector(`.item[data-id="${id}"]`)?.getAttribute('data-position') !== old,
      [local.id, before],
      { timeout: 20_000 },
    );
  });

  for (const colorScheme of ['light', 'dark']) {
    await open('/', { viewport: { width: 360, height: 740 }, colorScheme }, async (page) => {
      await page.locator(`.item[data-id="${local.id}"]`).waitFor({ timeout: 10_000 });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wider <= 0, `at 360 px the page is ${wider} px wider than the screen (${colorScheme})`);
    });
  }

  for (const path of ['/destinations', '/jobs', '/history', '/settings', `/destinations/${local.id}`]) {
    await open(path, { viewport: { width: 1280, height: 800 } }, async (page) => {
      await page.locator('h1').first().waitFor({ timeout: 10_000 });
    });
  }
  console.log(`${passed} pages passed`);
} finally {
  await browser.close();
}
