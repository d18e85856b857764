// The page in a real browser, fed by real servers:
// `npm run e2e -- --base-url http://localhost:PORT --demo-url http://localhost:PORT`.
// The second is `network-stats demo` (a week or more of it), whose history the charts and the past are tested with; it
// sends nothing. The first server is a fresh one with the default config: its starter job measures this machine's own addresses. Nothing here
// makes it send a packet beyond this machine: the one click that would is watched, and not let through.
// `--shots DIR` keeps a picture of every page; `--only WORDS` runs only the tests with these words in their names.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { chromium } from 'playwright-core';

import { RESOLVER, onOpenServer, onSession } from './attacks.mjs';

const { values: flags } = parseArgs({
  options: {
    'base-url': { type: 'string', default: 'http://localhost:8080' },
    'demo-url': { type: 'string' },
    shots: { type: 'string' },
    only: { type: 'string', default: '' },
  },
});
const fresh = flags['base-url'].replace(/\/$/, '');
const demo = flags['demo-url']?.replace(/\/$/, '');
/** The server that is tested now. */
let base = fresh;
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const WIDE = { width: 1280, height: 860 };
const PHONE = { width: 360, height: 740 };
const QUIET = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', RESOLVER,
];
const PASSWORD = 'correct horse battery staple';
const JSON_TYPE = { 'content-type': 'application/json' };

if (flags.shots) mkdirSync(flags.shots, { recursive: true });
const browser = await chromium.launch({ executablePath, args: QUIET });
let passed = 0;

/** Runs a test on a page of its own; errors in the console and requests to other hosts fail it. */
async function on(name, path, options, test, expected = []) {
  if (!name.includes(flags.only)) return;
  // The policy of the page would not let axe in; what the policy allows is tested by every page working under it.
  // The service worker has a test of its own.
  const context = await browser.newContext({ viewport: WIDE, serviceWorkers: 'block', ...options });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && ![...expected, /^Service Worker registration blocked/].some((words) => words.test(message.text()))) {
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
/** Where something is shown. A chart is drawn anew when more is known, and is nowhere in between. */
async function boxOf(locator) {
  for (let tries = 0; tries < 50; tries++) {
    await locator.waitFor();
    const box = await locator.boundingBox();
    if (box) return box;
  }
  throw new Error(`${locator} is shown nowhere`);
}

/** As `until`, for what is known later: a promise alone would count as true. */
async function promised(page, words) {
  const end = Date.now() + 20_000;
  while (!(await page.evaluate(words))) {
    if (Date.now() > end) throw new Error(`never true: ${words}`);
    await page.waitForTimeout(100);
  }
}
const post = (path, body) => fetch(base + path, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });
const get = async (path) => (await fetch(base + path)).json();

/** Every page in both themes, wide and on a phone: nothing wider than the screen, and accessible. */
async function looks(pages, ready) {
  for (const [name, path] of Object.entries(pages)) {
    for (const colorScheme of ['light', 'dark']) {
      for (const viewport of [WIDE, PHONE]) {
        await on(`${name}, ${colorScheme}, ${viewport.width} px`, path, { viewport, colorScheme, reducedMotion: 'reduce' }, async (page) => {
          await ready(name, page);
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
}

/** Charts, statistics and the past, on the demo's invented history. */
async function onHistory() {
  base = demo;
  const { items } = await get('/api/destinations');
  const named = (name) => items.find((item) => item.name === name);
  const [cloud, lisbon] = [named('cloud-eu'), named('lisbon')];
  const canvas = (page) => page.locator('canvas').first().waitFor({ timeout: 20_000 });
  const query = (page, name) => page.evaluate((name) => new URLSearchParams(location.search).get(name), name);
  const asOf = (daysAgo) => new Date(Date.now() - daysAgo * 86_400_000).toISOString();

  await on('a destination in depth: statistics, outages, paths, the hours of the week', `/destinations/${cloud.id}?range=24h`, {}, async (page) => {
    await canvas(page);
    const { figures } = await get(`/api/destinations/${cloud.id}/analytics?start_time=now-24h`);
    const median = page.locator('dl.stats > div', { has: page.getByText('Median', { exact: true }) }).locator('dd');
    const shown = Number.parseFloat(await median.innerText());
    assert.ok(Math.abs(shown - figures.median_ms) < 0.1 * figures.median_ms, `the median is ${shown}, of the API ${figures.median_ms}`);
    await page.getByRole('heading', { name: 'Distribution of round trips' }).waitFor();
    await page.locator('figure rect').first().waitFor();
    await page.locator('tbody tr th[scope=row]').filter({ hasText: 'Mon' }).waitFor();
    await page.getByRole('region', { name: 'Path' }).locator('tbody tr').first().waitFor();
    await page.getByText('paths').or(page.getByText('1 path')).first().waitFor();
  });

  await on('bandwidth: what the line carries, and what that does to round trips', `/destinations/${named('isp-edge').id}?range=24h`, {}, async (page) => {
    const region = page.getByRole('region', { name: 'Bandwidth', exact: true });
    await region.locator('canvas').nth(1).waitFor({ timeout: 20_000 });
    const rows = await get('/api/jobs/line/metrics?destination=isp-edge&metric=bandwidth&start_time=now-24h');
    const down = rows.map((row) => row.down_mbps).filter((value) => value !== null).sort((a, b) => a - b);
    const shown = Number.parseFloat(await region.locator('dl > div').filter({ hasText: 'Down' }).locator('dd').first().innerText());
    const middle = down[Math.floor(down.length / 2)];
    assert.ok(Math.abs(shown - middle) < 0.05 * middle, `${shown} Mbit/s, of the rows ${middle}`);
    await region.locator('.grade').first().waitFor();
    assert.match(await region.locator('.grade').first().innerText(), /^(A\+|A|B)$/);
    await region.getByRole('row').nth(1).getByText(/\d+ \/ \d+/).waitFor();
  });

  await on('two ranges beside each other, in plain words', `/destinations/${lisbon.id}?range=6h`, {}, async (page) => {
    await canvas(page);
    await page.getByLabel('Compare with').selectOption('week');
    await page.getByText(/Slower by|Faster by|No difference/).waitFor({ timeout: 20_000 });
    assert.equal(await query(page, 'with'), 'week');
  });

  await on('a free range, by hand and by keys', `/destinations/${lisbon.id}?range=24h`, {}, async (page) => {
    await canvas(page);
    await page.getByRole('button', { name: 'Free' }).click();
    await page.getByRole('textbox', { name: 'From' }).fill('2026-01-01T00:00:00');
    await page.getByRole('button', { name: 'Show' }).click();
    await until(page, () => new URLSearchParams(location.search).get('from')?.startsWith('2026-01-01') || new URLSearchParams(location.search).get('from')?.startsWith('2025-12-31'));
    const before = await query(page, 'to');
    await page.getByRole('application').focus();
    await page.keyboard.press('ArrowLeft');
    await until(page, (before) => new URLSearchParams(location.search).get('to') !== before, before);
    await page.keyboard.press('0');
    await until(page, () => new URLSearchParams(location.search).get('range') === '24h');
  });

  await on('a click on the chart says what happened there', `/destinations/${lisbon.id}?range=24h`, {}, async (page) => {
    await canvas(page);
    const title = `e2e cable ${Date.now()}`;
    const box = await boxOf(page.locator('.u-over').first());
    await page.mouse.click(box.x + box.width / 2, box.y + 60);
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('What happened').fill(title);
    await isAccessible(page);
    await dialog.getByRole('button', { name: 'Add annotation' }).click();
    await page.getByText(title).waitFor();
    const half = Date.now() - 43_200_000;
    const { items } = await get('/api/annotations');
    const made = items.find((each) => each.title === title);
    assert.ok(Math.abs(Date.parse(made.start_time) - half) < 3_600_000, `12 hours ago, and it is ${made.start_time}`);
    await page.getByRole('button', { name: `Remove ${title}` }).click();
    await page.getByText(title, { exact: true }).waitFor({ state: 'detached' });
    // Planned work: the account leaves it out.
    await page.getByRole('button', { name: 'Add annotation' }).click();
    await dialog.getByLabel('What happened').fill(title);
    await dialog.getByLabel(/Planned maintenance/).check();
    await dialog.getByLabel(/^To/).fill(new Date(Date.now() + 3_600_000).toISOString().slice(0, 16));
    await dialog.getByRole('button', { name: 'Add annotation' }).click();
    await page.locator('.notes li', { hasText: title }).getByText('Maintenance', { exact: true }).waitFor();
    assert.equal((await get('/api/maintenance')).items.find((each) => each.title === title)?.destinations[0], 'lisbon');
    await page.getByRole('button', { name: `Remove ${title}` }).click();
    await page.getByText(title, { exact: true }).waitFor({ state: 'detached' });
  });

  await on('analytics: the worst, their spread, a test, availability, limits', '/analytics?range=24h', {}, async (page) => {
    await canvas(page);
    const { items } = await get('/api/top?by=p95&start_time=now-24h');
    const worst = named(items[0].destination);
    await page.getByRole('region', { name: 'From the worst to the best' }).locator('tbody tr').first().getByText(worst.display_name ?? worst.name).waitFor();
    await page.getByText(/Slower by|Faster by|No difference/).waitFor({ timeout: 20_000 });
    await page.getByLabel('Figure').selectOption('loss');
    await until(page, () => new URLSearchParams(location.search).get('by') === 'loss');
    await page.getByText('All destinations').first().click();
    await page.getByRole('checkbox', { name: new RegExp(named('berlin').display_name) }).check();
    await until(page, (id) => new URLSearchParams(location.search).get('d') === String(id), named('berlin').id);
    await until(page, () => document.querySelectorAll('[aria-labelledby="top-title"] tbody tr').length === 1);
    // Another method of accounting is tried, and nothing is changed by that.
    await page.getByLabel('Hour is bad past a 95th percentile of, ms').fill('0.001');
    const tried = page.getByRole('region', { name: 'Availability under another method' }).last().locator('tbody tr.differs td').last();
    await until(page, () => Number(document.querySelector('[aria-labelledby="what-if-title"] tbody tr.differs td:last-child')?.textContent) >= 24);
    assert.ok(Number(await tried.textContent()) >= 24, 'every hour is bad');
    assert.equal((await get('/api/accounting')).max_p95_ms, null);
  });

  await on('an export is made when asked for, and its file is offered', '/reports', {}, async (page) => {
    await page.getByRole('button', { name: 'Add export' }).click();
    await page.getByRole('dialog').getByRole('textbox', { name: 'Name' }).fill('Every morning');
    await page.getByRole('dialog').getByLabel('File', { exact: true }).selectOption('csv');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Every morning').waitFor();
    await page.getByRole('button', { name: 'Make one now' }).click();
    const file = page.getByRole('link', { name: /\.csv$/ }).first();
    await file.waitFor({ timeout: 60_000 });
    const { items } = await get('/api/exports');
    assert.equal(items[0].state.last_run.outcome, 'done');
    page.once('dialog', (dialog) => dialog.accept());
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByText('Every morning').waitFor({ state: 'detached' });
  });

  await on('the whole interface goes to the past and comes back by one key', '/history', {}, async (page) => {
    await page.locator('time').first().waitFor();
    await page.getByLabel('Moment that is looked at').focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press('PageDown');
    await until(page, () => new URLSearchParams(location.search).has('as_of'));
    await page.getByText('You look at the past:').waitFor();
    // Every page keeps the moment, and the charts end there.
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'Dashboard' }).click();
    await line(page, lisbon.id).waitFor();
    const at = await query(page, 'as_of');
    assert.ok(Date.parse(at) < Date.now() - 3_600_000, 'the address has the moment');
    const then = await get(`/api/destinations/${lisbon.id}?as_of=${at}`);
    await until(page, ([id, position]) => document.querySelector(`.item[data-id="${id}"]`)?.getAttribute('data-position') === String(position), [lisbon.id, then.latest.position]);
    // What happened cannot be changed.
    await page.getByRole('button', { name: /^Stop / }).first().click();
    await page.getByText('The past is looked at, and cannot be changed').first().waitFor();
    await page.keyboard.press('l');
    await until(page, () => !new URLSearchParams(location.search).has('as_of'));
    await until(page, ([id, position]) => Number(document.querySelector(`.item[data-id="${id}"]`)?.getAttribute('data-position')) > position, [lisbon.id, then.latest.position]);
  });

  await on('the past is played', `/?as_of=${asOf(2)}`, {}, async (page) => {
    await line(page, lisbon.id).waitFor();
    const before = await query(page, 'as_of');
    await page.getByLabel('Speed').selectOption('1000');
    await page.getByRole('button', { name: 'Play' }).click();
    await until(page, (before) => Date.parse(new URLSearchParams(location.search).get('as_of')) > Date.parse(before) + 500_000, before);
    await page.getByRole('button', { name: 'Pause' }).click();
  });

  await on('a change is shown with before and after, and taken back', '/history', {}, async (page) => {
    const words = `e2e ${Date.now()}`;
    const patch = (description) => fetch(`${base}/api/destinations/${lisbon.id}`, { method: 'PATCH', headers: JSON_TYPE, body: JSON.stringify({ description }) });
    assert.equal((await patch('first')).status, 200);
    const { position } = await (await patch(words)).json();
    const entry = page.locator('li', { has: page.getByTitle(`Position ${position} in the log`) });
    await entry.getByRole('button', { name: 'Details' }).click();
    await entry.locator('td', { hasText: words }).waitFor();
    await entry.locator('td', { hasText: 'first' }).waitFor();
    await entry.getByRole('button', { name: /^Undo/ }).click();
    await page.getByText('The change was taken back').waitFor();
    assert.equal((await get(`/api/destinations/${lisbon.id}`)).description, 'first');
  });

  await on('groups, and tiles that stay', '/?group=tag', {}, async (page) => {
    await page.getByRole('table', { name: 'cloud' }).waitFor();
    await page.getByRole('button', { name: 'Arrange tiles' }).click();
    await page.getByLabel('Kind').selectOption('note');
    await page.getByLabel('Words').fill('call the provider');
    await page.getByRole('button', { name: 'Add tile' }).click();
    await page.getByLabel('Kind').selectOption('table');
    await page.locator('form').getByLabel('Tag').selectOption('branch');
    await page.getByRole('button', { name: 'Add tile' }).click();
    await page.locator('li.table').getByRole('link', { name: 'Branch Berlin' }).waitFor();
    await page.locator('li.table').dragTo(page.locator('li.note'));
    await page.getByLabel('Kind').selectOption('top');
    await page.getByRole('button', { name: 'Add tile' }).click();
    await page.getByRole('button', { name: 'Move The worst five, 24 h left' }).click();
    await page.reload();
    await page.getByText('call the provider').waitFor();
    assert.deepEqual(await page.locator('[aria-labelledby="tiles-title"] h3').allInnerTexts(), ['Table, live, branch', 'The worst five, 24 h', 'Note']);
  });

  const { items: jobs } = await get('/api/jobs');
  await looks(
    {
      'demo-dashboard': '/?group=tag',
      'demo-destination': `/destinations/${cloud.id}?range=7d`,
      'demo-web': `/destinations/${named('shop').id}?range=24h&probe=${jobs.find((job) => job.metrics.includes('http')).id}.http`,
      'demo-line': `/destinations/${named('isp-edge').id}?range=30d`,
      analytics: '/analytics?range=24h',
      'history-past': `/history?as_of=${asOf(3)}`,
      reports: '/reports',
      'job-runs': `/jobs/${jobs[0].id}`,
    },
    async (name, page) => {
      if (name === 'demo-dashboard') await line(page, cloud.id).first().waitFor();
      if (name.startsWith('demo-d') && name !== 'demo-dashboard') await page.locator('dl.stats').waitFor({ timeout: 20_000 });
      if (name === 'analytics') await page.getByText('All together').waitFor({ timeout: 20_000 });
      if (name === 'history-past') await page.locator('time').first().waitFor();
      if (name === 'job-runs') await page.getByRole('region', { name: 'Last runs' }).locator('tr').nth(1).waitFor();
    },
  );
  base = fresh;
}

/** A door to the server that can be shut, as if the server were away. */
async function door() {
  const through = new Set();
  const server = createServer((socket) => {
    const real = new URL(base);
    const other = connect(Number(real.port), 'localhost');
    for (const each of [socket, other]) {
      through.add(each);
      each.on('error', () => each.destroy()).on('close', () => through.delete(each));
    }
    // The server answers to its own name only: heads that name the door are told its name.
    socket.on('data', (bytes) => other.write(bytes.toString('latin1').replaceAll(`localhost:${port}`, real.host), 'latin1'));
    socket.on('end', () => other.end());
    other.pipe(socket);
  });
  const open = (port) => new Promise((resolve) => server.listen(port, 'localhost', resolve));
  await open(0);
  const { port } = server.address();
  const shut = () => {
    server.close();
    for (const socket of through) socket.destroy();
  };
  return { url: `http://localhost:${port}`, shut, open: () => open(port) };
}

/** Installed, and then without its server: the page opens all the same, and says how old it is. */
async function onAway(local) {
  if (!'installed, and the server away'.includes(flags.only)) return;
  const folder = mkdtempSync(join(tmpdir(), 'network-stats-e2e-'));
  const front = await door();
  // A browser with a profile: one without keeps nothing and installs nothing.
  const context = await chromium.launchPersistentContext(folder, { executablePath, args: QUIET, viewport: WIDE });
  try {
    const page = await context.newPage();
    await page.goto(front.url);
    await line(page, local.id).waitFor();
    await promised(page, () => navigator.serviceWorker.ready.then(({ active }) => active?.state === 'activated'));
    await promised(page, () => caches.match('/last-known.json').then(Boolean));
    const session = await context.newCDPSession(page);
    const { errors } = await session.send('Page.getAppManifest');
    assert.deepEqual(errors, [], 'the manifest');
    const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
    assert.deepEqual(installabilityErrors, [], 'it can be installed');

    front.shut();
    const banner = page.getByRole('alert').filter({ hasText: 'Offline since' });
    await banner.waitFor();
    // Opened again, and other pages of it: all without the server.
    await page.reload();
    await banner.waitFor();
    await line(page, local.id).waitFor();
    await page.getByRole('status').filter({ hasText: 'Not live' }).waitFor();
    await isAccessible(page);
    if (flags.shots) await page.screenshot({ path: join(flags.shots, 'away.png') });
    await page.getByRole('link', { name: 'Jobs' }).first().click();
    await page.getByRole('heading', { name: 'Jobs' }).waitFor();
    await page.goto(`${front.url}/destinations/${local.id}`);
    await banner.waitFor();
    await page.getByRole('button', { name: 'Try again' }).first().waitFor();

    await front.open();
    await banner.waitFor({ state: 'detached', timeout: 30_000 });
    await page.getByRole('status').filter({ hasText: 'Live' }).waitFor();
    await page.locator('canvas').first().waitFor();
    passed += 1;
  } catch (error) {
    console.error('failed: installed, and the server away');
    throw error;
  } finally {
    await context.close();
    front.shut();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a page of somebody else tries; how much of it. */
async function attacked(name, attack) {
  if (!name.includes(flags.only)) return undefined;
  try {
    const told = await attack();
    passed += 1;
    return told;
  } catch (error) {
    console.error(`failed: ${name}`);
    throw error;
  }
}

/** Last of all: from the first user on, everybody has to log in. */
async function onUsers() {
  const password = PASSWORD;
  await on('the first user logs in, makes a token, and logs out', '/settings', {}, async (page) => {
    const users = page.locator('section', { has: page.getByRole('heading', { name: 'Users' }) });
    await users.getByLabel('Name').fill('ada');
    await users.getByLabel('Password').fill(password);
    await users.getByRole('button', { name: 'Add user' }).click();
    await page.getByRole('heading', { name: 'Log in to Network Stats' }).waitFor();
    await isAccessible(page);
    await page.getByLabel('Name').fill('ada');
    await page.getByLabel('Password').fill('not her password at all');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('alert').filter({ hasText: /\w/ }).or(page.locator('[aria-invalid="true"]')).first().waitFor();
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in' }).click();
    const tokens = page.locator('section', { has: page.getByRole('heading', { name: 'API tokens' }) });
    await tokens.getByLabel('What it is for').fill('backup');
    await tokens.getByRole('button', { name: 'Add token' }).click();
    const token = await tokens.locator('code').innerText();
    assert.equal((await fetch(`${base}/api/jobs`)).status, 401, 'nobody comes in without');
    assert.equal((await fetch(`${base}/api/jobs`, { headers: { authorization: `Bearer ${token}` } })).status, 200);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('heading', { name: 'Log in to Network Stats' }).waitFor();
  }, [/401/, /WebSocket/]);
}

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
    // Before anything is saved: one real probe.
    await dialog.getByRole('button', { name: 'Test', exact: true }).click();
    await dialog.getByText('Round trips').waitFor();
    await isAccessible(page);
    await dialog.getByLabel('Name', { exact: false }).first().waitFor();
    await dialog.locator('input').nth(1).fill(name);
    await dialog.getByLabel('Paused').check();
    await dialog.getByRole('button', { name: 'Add destination' }).click();
    await page.getByRole('link', { name }).waitFor({ timeout: 10_000 });
    await fetch(`${base}/api/destinations/${name}`, { method: 'DELETE' });
  }, [/422/]);

  await on('each probe has its options, which are at first as the API has them, and its refusals are at the field', '/jobs/new', {}, async (page) => {
    const name = `e2e-options-${Date.now()}`;
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByRole('group', { name: 'And these' }).getByRole('checkbox').first().check();
    for (const metric of ['Traceroute', 'DNS', 'TCP', 'HTTP', 'Bandwidth']) await page.getByRole('checkbox', { name: new RegExp(`^${metric}`) }).check();
    await page.getByLabel('Run this job').uncheck();
    await page.getByText('TCP: how').click();
    const port = page.locator('details', { hasText: 'TCP: how' }).getByLabel('Port');
    await port.fill('70000');
    await page.getByRole('button', { name: 'Add job' }).click();
    await until(page, () => document.activeElement?.getAttribute('aria-invalid') === 'true');
    assert.equal(await port.getAttribute('aria-invalid'), 'true');
    // What has scrolled below the header is no target for the moment, and axe takes it for a small one.
    await page.evaluate(() => scrollTo(0, 0));
    await isAccessible(page);
    await port.fill('443');
    await page.getByRole('button', { name: 'Add job' }).click();
    await until(page, () => location.pathname !== '/jobs/new');
    const made = await get(`/api/jobs/${name}`);
    const plain = await (await post('/api/jobs', { name: `${name}-plain`, interval: '60s', metrics: ['ping'], destinations: [local.name], enabled: false })).json();
    assert.deepEqual(made.options, { ...plain.options, tcp: { ...plain.options.tcp, port: 443 } });
    for (const each of [made, plain]) await fetch(`${base}/api/jobs/${each.id}`, { method: 'DELETE' });
  }, [/422/]);

  await on('the settings say who may be probed and how long raw values are kept', '/settings', {}, async (page) => {
    const policy = await get('/api/policy');
    const targets = page.getByRole('region', { name: 'Who may be probed' });
    await targets.getByText(`${policy.limits.max_destinations.toLocaleString('en-US')} destinations`).waitFor();
    await page.getByRole('region', { name: 'How long raw values are kept' }).getByText('for ever').first().waitFor();
  });

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
    const box = await boxOf(page.locator('.u-over').first());
    await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.8, box.y + 60, { steps: 5 });
    await page.mouse.up();
    await until(page, () => new URLSearchParams(location.search).has('from'));
    await page.getByRole('button', { name: 'Back to now' }).click();
    await until(page, () => new URLSearchParams(location.search).get('range') === '15m');
  });

  await looks(
    {
      dashboard: '/',
      destinations: '/destinations',
      destination: `/destinations/${local.id}`,
      'destination-new': '/destinations/new',
      jobs: '/jobs',
      job: `/jobs/${job.id}`,
      history: '/history',
      settings: '/settings',
      nowhere: '/destinations/nobody',
    },
    async (name, page) => {
      if (name === 'dashboard') await line(page, local.id).waitFor();
      if (name === 'destination') await page.locator('canvas').first().waitFor();
      if (name === 'history') await page.locator('time').first().waitFor();
      if (name === 'settings') await page.getByText('Head of the hash chain').waitFor();
    },
  );
  await onAway(local);
  if (demo) await onHistory();
  const open = await attacked('other pages on an open server', () => onOpenServer(browser, fresh));
  await onUsers();
  const session = await attacked('other pages against a session', () => onSession(browser, fresh, { name: 'ada', password: PASSWORD }));
  console.log(`${passed} browser tests passed; attacks: ${JSON.stringify({ open, session })}`);
} finally {
  await browser.close();
}
