// What a page of somebody else tries in a visitor's browser: a name pointed at us (DNS rebinding), requests in the visitor's
// name (CSRF), our WebSocket, and scripts in every text that we store and show. Nothing leaves this machine: `evil.test` is
// this machine, for these browsers alone.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';

const EVIL = 'evil.test';
export const RESOLVER = `--host-resolver-rules=MAP ${EVIL} 127.0.0.1`;
const HTML = { 'content-type': 'text/html; charset=utf-8' };

/** A site of somebody else, under two names: another site, and another port of this machine. */
async function elsewhere() {
  const server = createServer((_, reply) => reply.writeHead(200, HTML).end('<!doctype html><title>elsewhere</title><h1>x</h1>'));
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address();
  return { server, origins: [`http://${EVIL}:${port}`, `http://localhost:${port}`, `http://127.0.0.1:${port}`] };
}

/** Changes that would be told from our own: what they would make has these names. */
const wishes = (mark) => [
  ['POST', '/api/destinations', { name: `${mark}-d`, host: '127.0.0.1', status: 'paused' }],
  ['POST', '/api/jobs', { name: `${mark}-j`, interval: '60s', metrics: ['ping'], destination_tags: [mark], enabled: false }],
  ['POST', '/api/annotations', { title: `${mark}-a` }],
  ['POST', '/api/maintenance', { title: `${mark}-m` }],
  ['POST', '/api/exports', { name: `${mark}-e`, range: 'yesterday' }],
  ['POST', '/api/inventory', { destinations: [{ name: `${mark}-i`, host: '127.0.0.1', status: 'paused' }] }],
  ['PUT', '/api/accounting', { grace_s: 77 }],
  ['DELETE', '/api/jobs/1', undefined],
];

/** Runs in the attacker's page: every way in which a page can make a browser send something; what could be read of it. */
async function tryRequests({ target, wishes }) {
  const read = [];
  const quiet = async (what, go) => {
    try {
      const answer = await go();
      if (answer) read.push(`${what}: ${answer}`);
    } catch {
      // Refused by the browser or by us: as it should be.
    }
  };
  for (const [method, path, body] of wishes) {
    const text = body === undefined ? undefined : JSON.stringify(body);
    for (const credentials of ['include', 'omit']) {
      for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        const init = { method, body: text, credentials, headers: { 'content-type': type } };
        await quiet(`${method} ${path} as ${type}`, async () => (await fetch(target + path, init)).status);
        if (method === 'POST') {
          await quiet(`${path} without CORS`, async () => (await fetch(target + path, { ...init, mode: 'no-cors' })).status || '');
        }
      }
    }
    if (method !== 'POST') continue;
    navigator.sendBeacon(target + path, text);
    navigator.sendBeacon(target + path, new Blob([text], { type: 'text/plain' }));
    for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      const frame = Object.assign(document.createElement('iframe'), { name: `f${Math.random()}` });
      const form = Object.assign(document.createElement('form'), { method, action: target + path, enctype, target: frame.name });
      // With text/plain the body begins with the name: JSON, but for a last field.
      const input = Object.assign(document.createElement('input'), { name: `${text.slice(0, -1)},"x":"`, value: '"}' });
      form.append(input);
      document.body.append(frame, form);
      const loaded = new Promise((done) => frame.addEventListener('load', done, { once: true }));
      form.submit();
      await loaded;
    }
  }
  for (const path of ['/api/destinations', '/api/health', '/metrics', '/api/openapi.json', '/api/events']) {
    await quiet(`GET ${path}`, async () => (await fetch(target + path, { credentials: 'include' })).status);
  }
  for (const [tag, attribute, path] of [['img', 'src', '/api/health'], ['script', 'src', '/api/destinations'], ['script', 'src', '/api/me'], ['link', 'href', '/metrics']]) {
    const element = Object.assign(document.createElement(tag), { rel: 'stylesheet', [attribute]: target + path });
    const loaded = new Promise((done) => {
      element.addEventListener('load', () => done(`${tag} of ${path} was loaded`), { once: true });
      element.addEventListener('error', () => done(undefined), { once: true });
    });
    document.body.append(element);
    const told = await loaded;
    if (told) read.push(told);
  }
  return read;
}

/** Runs in the attacker's page: opens our WebSocket; true if it came about. */
function trySocket(url) {
  return new Promise((done) => {
    const socket = new WebSocket(url);
    socket.addEventListener('open', () => done(true));
    socket.addEventListener('error', () => done(false));
  });
}

/** Runs in the attacker's page: our page in a frame; true if anything of it is shown. */
function tryFrame(url) {
  return new Promise((done) => {
    const frame = Object.assign(document.createElement('iframe'), { src: url });
    frame.addEventListener('load', () => {
      try {
        done(frame.contentDocument !== null && frame.contentDocument.body.innerText !== '');
      } catch {
        done(true);
      }
    });
    document.body.append(frame);
  });
}

/** The state that an attack might change, as somebody sees it who may. */
async function state(base, headers) {
  const shown = {};
  for (const path of ['destinations', 'jobs', 'annotations', 'maintenance', 'exports', 'accounting', 'users', 'tokens']) {
    const answer = await fetch(`${base}/api/${path}`, { headers });
    assert.equal(answer.status, 200, path);
    const json = await answer.json();
    shown[path] = (json.items ?? [json]).map(({ id, name, title, grace_s: grace, enabled }) => ({ id, name, title, grace, enabled }));
  }
  return shown;
}

/** A name that the attacker points at us: the page's origin is ours but for the name. */
async function rebinding(context, base) {
  const { port } = new URL(base);
  const evil = `http://${EVIL}:${port}`;
  const page = await context.newPage();
  // As it is: the name leads to us, and we do not answer to it.
  const answer = await page.goto(`${evil}/`);
  assert.ok([403, 421].includes(answer.status()), `${answer.status()} for the page under another name`);
  // As an attacker does it: the first answer was his own, and from the second on the name leads to us.
  await page.route(`${evil}/`, (route) => route.fulfill({ status: 200, headers: HTML, body: '<h1>mine</h1>' }));
  await page.goto(`${evil}/`);
  const got = await page.evaluate(async (wishes) => {
    const statuses = [];
    // 0: not even a status is to be had.
    const status = (path, init) => fetch(path, init).then((answer) => answer.status, () => 0);
    const reads = ['/api/health', '/api/destinations', '/api/me', '/metrics', '/api/openapi.json', '/docs/', '/index.html', '/api/stream'];
    for (const path of reads) statuses.push([path, await status(path)]);
    for (const [method, path, body] of wishes) {
      const init = { method, body: body && JSON.stringify(body), headers: { 'content-type': 'application/json' } };
      statuses.push([`${method} ${path}`, await status(path, init)]);
    }
    return statuses;
  }, wishes('rebound'));
  for (const [what, status] of got) assert.ok([0, 403, 421].includes(status), `${what} under another name: ${status}`);
  assert.equal(await page.evaluate(trySocket, `ws://${EVIL}:${port}/ws`), false, 'the WebSocket under another name');
  await page.close();
  return got.length + 2;
}

/** A page of another site, and one of another port of this machine. */
async function forgery(context, base, mark, headers = {}) {
  const { server, origins } = await elsewhere();
  let tried = 0;
  try {
    const before = await state(base, headers);
    const targets = [base, base.replace('localhost', '127.0.0.1')];
    for (const origin of origins) {
      for (const target of targets) {
        const page = await context.newPage();
        await page.goto(origin);
        const read = await page.evaluate(tryRequests, { target, wishes: wishes(mark) });
        assert.deepEqual(read, [], `${origin} reads from ${target}`);
        assert.equal(await page.evaluate(trySocket, `${target.replace('http', 'ws')}/ws`), false, `${origin} opens a WebSocket to ${target}`);
        assert.equal(await page.evaluate(tryFrame, `${target}/`), false, `${origin} frames ${target}`);
        await page.close();
        tried += wishes(mark).length * 6 + 11;
      }
    }
    assert.deepEqual(await state(base, headers), before, 'nothing was changed in the visitor\'s name');
  } finally {
    server.close();
  }
  return tried;
}

/** Everything but what names may not hold. */
const SCRIPTS = [
  '<img src=x onerror=window.xss=1>',
  '<svg onload=window.xss=1>',
  '"><img src=x onerror=window.xss=1>',
  "'><img src=x onerror=window.xss=1>",
  '<iframe srcdoc="<img src=x onerror=parent.window.xss=1>">',
  '<details open ontoggle=window.xss=1>',
  'javascript:window.xss=1',
  '{{constructor.constructor("window.xss=1")()}}',
  '${window.xss=1}',
  '<a href="javascript:window.xss=1">x',
  '<math><mtext><style><img title="<img src=x onerror=window.xss=1>">',
];
const LONG_SCRIPTS = ['<script>window.xss=1</script>', '</title><script>window.xss=1</script>', '--><script>window.xss=1</script>', '</textarea><script>window.xss=1</script>'];

/** One of every resource with such a text in every field; the pages that show it. */
async function plant(base, i, script) {
  const long = `${LONG_SCRIPTS[i % LONG_SCRIPTS.length]}\n${script}`;
  const made = [];
  const post = async (path, body) => {
    const answer = await fetch(`${base}/api/${path}?reason=${encodeURIComponent(script)}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const json = await answer.json();
    assert.equal(answer.status, 201, `${path}: ${JSON.stringify(json)}`);
    made.push([path, json.id]);
    return json;
  };
  const name = `${i}${script}`;
  const destination = await post('destinations', { name, host: '127.0.0.1', display_name: `shown ${name}`, description: long, tags: [script] });
  const job = await post('jobs', { name, interval: '60s', metrics: ['ping'], destinations: [name], description: long, tags: [script], packets: 1 });
  await post('annotations', { title: name, text: long, destinations: [name], tags: [script] });
  await post('maintenance', { title: name, text: long, destinations: [name], end_time: '2200-01-01T00:00:00Z' });
  await post('exports', { name, title: name, range: 'yesterday', jobs: [name], format: 'csv' });
  return { made, name, destination, job };
}

/** Stored texts are shown, and are never anything but text. */
async function stored(context, base) {
  const planted = [];
  for (const [i, script] of SCRIPTS.entries()) planted.push(await plant(base, i, script));
  const of = ({ destination, job }) => [`/destinations/${destination.id}`, `/jobs/${job.id}`];
  const paths = ['/', '/?group=tag', '/destinations', '/jobs', '/history', '/analytics?range=1h', '/reports', '/settings', ...planted.flatMap(of)];
  const page = await context.newPage();
  const faults = [];
  page.on('dialog', (dialog) => {
    faults.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (/Content.Security.Policy|violates/i.test(message.text())) faults.push(message.text());
  });
  let seen = '';
  for (const path of paths) {
    await page.goto(base + path);
    await page.locator('h1').first().waitFor({ timeout: 15_000 });
    if (path.startsWith('/destinations/') || path.startsWith('/jobs/')) {
      await page.getByText('window.xss', { exact: false }).first().waitFor({ timeout: 15_000 });
    }
    const found = await page.evaluate(() => ({
      ran: 'xss' in window,
      planted: document.querySelectorAll('img[src="x"], svg[onload], iframe, details[ontoggle], a[href^="javascript:"], script:not([src])').length,
      handlers: [...document.querySelectorAll('*')].filter((it) => it.getAttributeNames().some((name) => name.startsWith('on'))).length,
    }));
    assert.deepEqual(found, { ran: false, planted: 0, handlers: 0 }, path);
    seen += await page.locator('body').innerText();
  }
  // What the API itself says, opened as if it were a page.
  for (const path of ['/api/destinations', '/api/jobs', '/api/events', '/metrics', `/api/destinations/${planted[0].destination.id}`]) {
    await page.goto(base + path);
    assert.equal(await page.evaluate(() => 'xss' in window), false, path);
  }
  assert.deepEqual(faults, [], 'scripts, or attempts of some');
  for (const { name } of planted) assert.ok(seen.includes(name), `${name} is shown as text`);
  await page.close();
  for (const { made } of planted) {
    for (const [path, id] of made.reverse()) await fetch(`${base}/api/${path}/${id}`, { method: 'DELETE' });
  }
  return SCRIPTS.length * 15;
}

/** While nobody has to log in: whoever reaches the server may everything, so no other page may reach it. */
export async function onOpenServer(browser, base) {
  const context = await browser.newContext();
  const told = {
    rebinding: await rebinding(context, base),
    forgery: await forgery(context, base, 'forged'),
    stored: await stored(context, base),
  };
  await context.close();
  return told;
}

/** In the browser of somebody who is logged in. */
export async function onSession(browser, base, login) {
  const context = await browser.newContext();
  const answer = await context.request.post(`${base}/api/login`, { data: login });
  assert.equal(answer.status(), 200);
  const [cookie] = await context.cookies(base);
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Strict', 'no script reads the cookie, and no other site sends it');
  const headers = { cookie: `${cookie.name}=${cookie.value}` };
  const told = { forgery: await forgery(context, base, 'forged-in-session', headers), rebinding: await rebinding(context, base) };
  // The cookie counts where it should.
  assert.equal((await context.request.get(`${base}/api/jobs`)).status(), 200);
  await context.close();
  return told;
}
