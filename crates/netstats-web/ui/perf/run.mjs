// How fast the page is, in a real browser fed by the real program: 1,000 destinations on loopback addresses, each pinged
// every 10 s, which makes 100 updates a second. Nothing leaves this machine. Used as
//   cargo build --release && cd crates/netstats-web/ui && npm run perf
// `--binary PATH` for another program, `--only NAME` for one of: content, live, scroll, scrub, heap, chart.
// Figures go to docs/PERFORMANCE.md; a machine that does other work meanwhile makes them worse.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { chromium } from 'playwright-core';
import { build, preview } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: flags } = parseArgs({
  options: {
    binary: { type: 'string', default: here('../../../../target/release/network-stats') },
    destinations: { type: 'string', default: '1000' },
    only: { type: 'string', default: '' },
  },
});
const COUNT = Number(flags.destinations);
const INTERVAL_S = 10;
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const wants = (name) => flags.only === '' || flags.only === name;

const sorted = (values) => [...values].sort((a, b) => a - b);
const at = (values, q) => sorted(values)[Math.min(values.length - 1, Math.floor(q * values.length))];
const ms = (value) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
const told = [];
function tell(what, asked, figures) {
  told.push([what, asked, figures]);
  console.log(`${what}: ${figures}${asked ? ` (asked for: ${asked})` : ''}`);
}
const pause = (for_ms) => new Promise((resolve) => setTimeout(resolve, for_ms));

/** The program with its destinations, until `stop`. */
async function product(folder) {
  const host = (i) => `127.${1 + Math.floor(i / 60_000)}.${Math.floor(i / 250) % 240}.${1 + (i % 250)}`;
  const destinations = Array.from({ length: COUNT }, (_, i) => `(name: "host-${i + 1}", host: "${host(i)}", tags: ["rack-${i % 20}"])`);
  const config = join(folder, 'perf.ron');
  writeFileSync(
    config,
    `(
      limits: (min_interval_s: ${INTERVAL_S}),
      starter: (
        destinations: [${destinations.join(',\n')}],
        jobs: [(
          name: "all", interval: "${INTERVAL_S}s", metrics: [ping, packet_loss, jitter], packets: 2, spacing: "100ms",
          destination_tags: [${Array.from({ length: 20 }, (_, i) => `"rack-${i}"`).join(', ')}],
        )],
      ),
    )`,
  );
  const child = spawn(flags.binary, ['serve', '--config', config, '--data-dir', join(folder, 'data'), '--listen', 'localhost:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    const url = line.match(/http:\/\/\S+/)?.[0];
    if (url) return { url: url.replace(/\/$/, ''), stop: () => (child.kill('SIGTERM'), ended) };
  }
  throw new Error(`${flags.binary} ended before it said where it listens`);
}

/** The end of the log. A kept connection may just have been closed: then it is asked once more. */
async function position(base) {
  const ask = () => fetch(`${base}/api/health`);
  return (await (await ask().catch(ask)).json()).position;
}

/** Asks for the processor time of a page's main thread, in milliseconds: what it takes where nothing else runs. */
async function clock(page) {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable');
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    return 1000 * (metrics.find(({ name }) => name === 'ThreadTime')?.value ?? Number.NaN);
  };
}

async function opened(browser, address) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, serviceWorkers: 'block' });
  const page = await context.newPage();
  await page.goto(address);
  await page.locator('.item').first().waitFor();
  return page;
}

/** A cold start of the page: first pixels, and first rows. */
async function content(browser, base) {
  const [paints, rows] = [[], []];
  for (let i = 0; i < 7; i++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, serviceWorkers: 'block' });
    const page = await context.newPage();
    await page.addInitScript(() => {
      const look = () => (document.querySelector('.item') ? (globalThis.rowsAt = performance.now()) : requestAnimationFrame(look));
      look();
    });
    await page.goto(base);
    await page.waitForFunction(() => globalThis.rowsAt !== undefined);
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
    rows.push(await page.evaluate(() => globalThis.rowsAt));
    await context.close();
  }
  tell('first content, nothing cached', 'under 1 s', `${ms(at(paints, 0.5))} (at most ${ms(Math.max(...paints))} of ${paints.length})`);
  tell(`rows of ${COUNT} destinations, nothing cached`, '', `${ms(at(rows, 0.5))} (at most ${ms(Math.max(...rows))})`);
}

/** What the browser's processes spend while the page only follows. */
async function live(browser, base, page) {
  const session = await browser.newBrowserCDPSession();
  const spent = async () => {
    const { processInfo } = await session.send('SystemInfo.getProcessInfo');
    const of = (keep) => processInfo.filter(keep).reduce((sum, { cpuTime }) => sum + cpuTime, 0);
    return { page: of(({ type }) => type === 'renderer'), all: of(() => true), at: performance.now() / 1000, position: await position(base) };
  };
  const measured = async (seconds) => {
    const before = await spent();
    await pause(seconds * 1000);
    const after = await spent();
    const span = after.at - before.at;
    return { rate: (after.position - before.position) / span, page: (100 * (after.page - before.page)) / span, all: (100 * (after.all - before.all)) / span };
  };
  const job = `${base}/api/jobs/all`;
  await pause(5_000);
  const busy = await measured(40);
  await fetch(`${job}/stop`, { method: 'POST' });
  await pause(3_000);
  const idle = await measured(20);
  await fetch(`${job}/start`, { method: 'POST' });
  await page.waitForFunction((then) => Number(document.querySelector('.item')?.getAttribute('data-position')) > then, await position(base));
  const share = (value) => `${value.toFixed(1)} %`;
  const each = (name) => share(((busy[name] - idle[name]) * 100) / busy.rate);
  tell(
    'processor time of the browser, of one core, for 100 updates/s', 'under 5 %',
    `page ${each('page')}, all its processes ${each('all')}; at ${busy.rate.toFixed(0)} updates/s ${share(busy.page)} and ${share(busy.all)}, without updates ${share(idle.page)} and ${share(idle.all)}`,
  );
}

/** Frames while the list of all destinations goes by, and goes on living. */
async function scroll(page) {
  const cdp = await page.context().newCDPSession(page);
  await page.evaluate(() => {
    globalThis.frames = [];
    let last = performance.now();
    const frame = (now) => {
      globalThis.frames.push(now - last);
      last = now;
      globalThis.watching = requestAnimationFrame(frame);
    };
    globalThis.watching = requestAnimationFrame(frame);
  });
  for (const distance of [-30_000, 30_000]) {
    await cdp.send('Input.synthesizeScrollGesture', { x: 640, y: 600, yDistance: distance, speed: 6_000, gestureSourceType: 'mouse', preventFling: true });
  }
  const frames = await page.evaluate(() => (cancelAnimationFrame(globalThis.watching), globalThis.frames.slice(1)));
  const late = frames.filter((frame) => frame > 25).length;
  tell(
    `frames while ${COUNT} live rows scroll by`, '60 a second (16.7 ms)',
    `p50 ${ms(at(frames, 0.5))}, p95 ${ms(at(frames, 0.95))}, p99 ${ms(at(frames, 0.99))}; ${late} of ${frames.length} later than a frame`,
  );
}

/** From the slider's move to the rows of that moment on the screen. */
async function scrub(page, base) {
  await page.goto(`${base}/?as_of=${new Date(Date.now() - 30_000).toISOString()}`);
  await page.locator('.slider').waitFor();
  await page.waitForFunction(() => document.querySelector('main')?.dataset.moment !== 'live');
  const [steps, processor] = [[], []];
  const spent = await clock(page);
  for (let i = 0; i < 40; i++) {
    const before = await spent();
    steps.push(
      await page.evaluate(async (ago) => {
        const [slider, main] = [document.querySelector('.slider'), document.querySelector('main')];
        const then = Math.floor((Date.now() - ago) / 1000) * 1000;
        const shown = new Promise((resolve) => {
          const look = () => {
            // A range input rounds to its step, counted from its minimum.
            if (Math.abs(Number(main.dataset.moment) - then) > 1_000) return;
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
          };
          const observer = new MutationObserver(look);
          observer.observe(main, { attributeFilter: ['data-moment'] });
        });
        const from = performance.now();
        slider.value = String(then);
        slider.dispatchEvent(new Event('input', { bubbles: true }));
        return (await shown) - from;
      }, 20_000 + 4_000 * ((i * 7) % 12)),
    );
    processor.push((await spent()) - before);
  }
  tell(`a step of the time slider at ${COUNT} destinations, asked, answered and painted`, 'under 100 ms', `p50 ${ms(at(steps, 0.5))}, p95 ${ms(at(steps, 0.95))}, at most ${ms(Math.max(...steps))} of ${steps.length}; processor time of the page p50 ${ms(at(processor, 0.5))}`);
}

/** The page's memory after many updates beside after few. */
async function heap(browser, base) {
  const page = await opened(browser, base);
  const cdp = await page.context().newCDPSession(page);
  const first = await position(base);
  const after = async (updates) => {
    while ((await position(base)) < first + updates) await pause(200);
    for (let i = 0; i < 3; i++) await cdp.send('HeapProfiler.collectGarbage');
    const { usedSize } = await cdp.send('Runtime.getHeapUsage');
    const { nodes, jsEventListeners } = await cdp.send('Memory.getDOMCounters');
    return { mib: usedSize / 2 ** 20, nodes, jsEventListeners };
  };
  const [few, many] = [await after(1_000), await after(10_000)];
  const words = ({ mib, nodes, jsEventListeners }) => `${mib.toFixed(2)} MiB, ${nodes} nodes, ${jsEventListeners} listeners`;
  tell('heap after 1,000 and after 10,000 updates', 'no growth', `${words(few)}; ${words(many)}`);
  await page.context().close();
}

/** The smoke chart with all its bands. */
async function chart(browser) {
  const outDir = mkdtempSync(join(tmpdir(), 'network-stats-chart-'));
  try {
    await build({ root: here('..'), logLevel: 'error', build: { outDir, emptyOutDir: true, rollupOptions: { input: here('chart.html') } } });
    const server = await preview({ root: here('..'), logLevel: 'error', build: { outDir }, preview: { port: 0, host: '127.0.0.1' } });
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, serviceWorkers: 'block' });
    const page = await context.newPage();
    await page.goto(`${server.resolvedUrls.local[0]}perf/chart.html`);
    await page.locator('canvas').first().waitFor();
    const times = [];
    const spent = await clock(page);
    const processor = [];
    for (let i = 0; i < 12; i++) {
      await page.evaluate((seed) => globalThis.prepare(100_000, seed), i + 1);
      const before = await spent();
      times.push(await page.evaluate(() => globalThis.draw()));
      processor.push((await spent()) - before);
    }
    tell(
      '100,000 points drawn: median, two bands, loss, jitter', 'under 150 ms',
      `p50 ${ms(at(times, 0.5))} (${ms(Math.min(...times))} to ${ms(Math.max(...times))} of ${times.length}); processor time of the page p50 ${ms(at(processor, 0.5))}`,
    );
    await context.close();
    await server.close();
  } finally {
    rmSync(outDir, { recursive: true, force: true });
  }
}

const folder = mkdtempSync(join(tmpdir(), 'network-stats-perf-'));
const program = await product(folder);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
try {
  console.log(`${cpus().length} processors, ${cpus()[0]?.model}; Chromium ${browser.version()}`);
  // A minute of measuring, so that there is something to look back at.
  while ((await position(program.url)) < COUNT * 7) await pause(500);
  if (wants('content')) await content(browser, program.url);
  const page = await opened(browser, program.url);
  if (wants('live')) await live(browser, program.url, page);
  if (wants('scroll')) await scroll(page);
  if (wants('scrub')) await scrub(page, program.url);
  await page.context().close();
  if (wants('heap')) await heap(browser, program.url);
  if (wants('chart')) await chart(browser);
  console.log('\n| What | Asked for | Measured |\n|---|---|---|');
  for (const row of told) console.log(`| ${row.join(' | ')} |`);
} finally {
  await browser.close();
  await program.stop();
  rmSync(folder, { recursive: true, force: true });
}
