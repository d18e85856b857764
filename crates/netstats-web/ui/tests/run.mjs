// The page in a real browser, fed by a real server: `npm run e2e -- --base-url http://localhost:PORT`.
// The server is a fresh one with the default config: its starter job measures this machine's own addresses. Nothing here
// makes it send a packet beyond this machine: the one click that would is watched, and not let through.
// `--shots DIR` keeps a picture of every page.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { chromium } from 'playwright-core';

const { values: flags } = parseArgs({
  options: { 'base-url': { type: 'string', default: 'http://localhost:8080' }, shots: { type: 'string' } },
});
const base = flags['base-url'].replace(/\/$/, '');
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const WIDE = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 740 };
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const JSON_TYPE = { 'content-type': 'application/json' };

if (flags.shots) mkdirSync(flags.shots, { recursive: true });
const browser = await chromium.launch({ executablePath, args: QUIET });
let passed = 0;

/** Runs a test on a page of its own; errors in the console and requests to other hosts fail it. */
async function on(name, path, options, test, expected = []) {
  // The policy of the page would not let axe in; what the policy allows is tested by every page working under it.
  const context = await browser.newContext({ viewport: WIDE, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !expected.some((words) => words.test(message.text()))) {
      faults.push(message.text());
    }
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol.startsWith('http') && origin !== base) faults.push(`a request to ${origin}`);
  });
  try {
    await page.goto(base + path);
    await page.locator('h1').first().waitFor({ timeout: 15_000 });
    await test(page);
    assert.deepEqual(faults, [], 'errors in the console, or requests to other hosts');
    passed += 1;
  } catch (error) {
    console.error(`failed: ${name}`);
    throw error;
  } finally {
    await context.close();
  }
}

/** WCAG 2.2 A and AA, as far as axe can tell. */
async function isAccessible(page) {
  // Through the debugger's door, which the content security policy does not guard.
  const { readFileSync } = await import('node:fs');
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: readFileSync(axe, 'utf8') });
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }),
  );
  const lines = violations.flatMap(({ id, help, nodes }) =>
    nodes.slice(0, 4).map((node) => `${id}: ${help}: ${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`),
  );
  assert.deepEqual(lines, [], 'axe');
}

async function fits(page) {
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wider <= 0, `the page is ${wider} px wider than the screen`);
}

const line = (page, id) => page.locator(`.item[data-id="${id}"]`);
const until = (page, words, argument) => page.waitForFunction(words, argument, { timeout: 20_000 });
const post = (path, body) => fetch(base + path, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });
const get = async (path) => (await fetch(base + path)).json();

try {
  const { items } = await get('/api/destinations');
  const local = items.find((item) => item.host === '127.0.0.1');
  assert.ok(local, 'the starter block measures 127.0.0.1');
  const { items: jobs } = await get('/api/jobs');
  const job = jobs.find((each) => each.enabled);

  await on('rows change live', '/', {}, async (page) => {
    await line(page, local.id).waitFor({ timeout: 10_000 });
    const name = local.display_name ?? local.name;
    assert.ok((await line(page, local.id).innerText()).includes(name), `${name} is on the page`);
    // The first sample is there, or comes by itself.
    await until(page, (id) => /\d\s*ms/.test(document.querySelector(`.item[data-id="${id}"]`)?.textContent ?? ''), local.id);
    // A second job measures at once when it is made.
    const before = await line(page, local.id).getAttribute('data-position');
    const input = { name: `e2e-${Date.now()}`, interval: '60s', metrics: ['ping'], destinations: [local.name] };
    const made = await post('/api/jobs', input);
    assert.equal(made.status, 201);
    await until(
      page,
      ([id, old]) => document.querySelector(`.item[data-id="${id}"]`)?.getAttribute('data-position') !== old,
      [local.id, before],
    );
    // And so does the list of jobs, which nobody loaded again.
    await page.getByRole('link', { name: input.name }).waitFor({ timeout: 10_000 });
    await fetch(`${base}/api/jobs/${(await made.json()).id}`, { method: 'DELETE' });
    await page.getByRole('link', { name: input.name }).waitFor({ state: 'detached', timeout: 10_000 });
  });

  await on('a lost connection is shown, and what was missed comes after it', '/', {}, async (page) => {
    await line(page, local.id).waitFor();
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor({ timeout: 10_000 });
    const name = `e2e-away-${Date.now()}`;
    await page.context().setOffline(true);
    // Chromium leaves an open WebSocket alone when it is told to be offline: the page's own is broken from outside.
    await page.evaluate(() => dispatchEvent(new Event('offline')));
    await post('/api/destinations', { name, host: '127.0.0.1', status: 'paused' });
    await page.context().setOffline(false);
    await page.getByRole('link', { name }).waitFor({ timeout: 20_000 });
    await fetch(`${base}/api/destinations/${name}`, { method: 'DELETE' });
  }, [/ERR_INTERNET_DISCONNECTED/]);

  const paused = items.filter((item) => item.status === 'paused');
  const waiting = jobs.find((each) => !each.enabled && each.destination_tags.length > 0);
  if (paused.length > 0 && waiting) {
    await on('one click starts measuring beyond this machine', '/', {}, async (page) => {
      const asked = [];
      await page.route('**/api/**', (route) => {
        const request = route.request();
        if (request.method() === 'GET') return route.continue();
        const path = new URL(request.url()).pathname;
        asked.push(`${request.method()} ${path} ${request.postDataJSON()?.status ?? ''}`.trim());
        return route.fulfill({ json: {} });
      });
      await page.getByRole('button', { name: 'Start measuring' }).click();
      await page.getByText('Measuring beyond this machine has started').waitFor();
      const members = paused.filter((item) => item.tags.some((tag) => waiting.destination_tags.includes(tag)));
      assert.deepEqual(asked.sort(), [
        `POST /api/jobs/${waiting.id}/start`,
        ...members.map((item) => `PUT /api/destinations/${item.id} active`),
      ]);
    });
  }

  await on('a form shows what the server refuses, at the field', '/', {}, async (page) => {
    const name = `e2e-form-${Date.now()}`;
    await page.getByRole('button', { name: 'Add destination' }).first().click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Address or host name').fill('http://example.org/');
    await dialog.getByRole('button', { name: 'Add destination' }).click();
    const host = dialog.getByLabel('Address or host name');
    await until(page, () => document.activeElement?.getAttribute('aria-invalid') === 'true');
    const note = await dialog.locator(`#${await host.getAttribute('aria-describedby')}`).innerText();
    assert.match(note, /\w/, 'the reason is written below the field');
    await isAccessible(page);
    await host.fill('127.0.0.1');
    await dialog.getByLabel('Name', { exact: false }).first().waitFor();
    await dialog.locator('input').nth(1).fill(name);
    await dialog.getByLabel('Paused').check();
    await dialog.getByRole('button', { name: 'Add destination' }).click();
    await page.getByRole('link', { name }).waitFor({ timeout: 10_000 });
    await fetch(`${base}/api/destinations/${name}`, { method: 'DELETE' });
  }, [/422/]);

  await on('the keyboard leads everywhere', '/', {}, async (page) => {
    await line(page, local.id).waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('j');
    await until(page, () => location.pathname === '/jobs');
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    await until(page, () => document.activeElement?.id === 'search');
    await page.keyboard.press('Escape');
    await page.keyboard.press('t');
    await until(page, () => Boolean(document.documentElement.dataset.theme));
  });

  await on('the range is in the address', `/destinations/${local.id}?range=6h`, {}, async (page) => {
    await page.locator('canvas').first().waitFor();
    await page.getByRole('button', { name: '15m' }).click();
    await until(page, () => new URLSearchParams(location.search).get('range') === '15m');
    const box = await page.locator('.u-over').first().boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await until(page, () => new URLSearchParams(location.search).has('from'));
    await page.getByRole('button', { name: 'Back to now' }).click();
    await until(page, () => new URLSearchParams(location.search).get('range') === '15m');
  });

  const pages = {
    dashboard: '/',
    destinations: '/destinations',
    destination: `/destinations/${local.id}`,
    'destination-new': '/destinations/new',
    jobs: '/jobs',
    job: `/jobs/${job.id}`,
    history: '/history',
    settings: '/settings',
    nowhere: '/destinations/nobody',
  };
  for (const [name, path] of Object.entries(pages)) {
    for (const colorScheme of ['light', 'dark']) {
      for (const viewport of [WIDE, PHONE]) {
        const title = `${name}, ${colorScheme}, ${viewport.width} px`;
        await on(title, path, { viewport, colorScheme, reducedMotion: 'reduce' }, async (page) => {
          if (name === 'dashboard') await line(page, local.id).waitFor();
          if (name === 'destination') await page.locator('canvas').first().waitFor();
          if (name === 'history') await page.locator('time').first().waitFor();
          if (name === 'settings') await page.getByText('Head of the hash chain').waitFor();
          await fits(page);
          await isAccessible(page);
          if (flags.shots) {
            const file = `${name}-${colorScheme}-${viewport.width}.png`;
            await page.screenshot({ path: join(flags.shots, file), fullPage: true });
          }
        });
      }
    }
  }
  console.log(`${passed} browser tests passed`);
} finally {
  await browser.close();
}
