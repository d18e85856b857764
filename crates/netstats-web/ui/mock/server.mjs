// A stand-in for the real server while the interface is built, and for its browser tests: the same shapes, simulated
// figures. Used as: node mock/server.mjs [--port 8099] [--dist DIR] [--destinations N] [--interval S] [--rate N]
// For developers only; nothing of it is embedded.
import { readFileSync, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { WebSocketServer } from 'ws';

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string', default: '8099' },
    dist: { type: 'string', default: fileURLToPath(new URL('../dist', import.meta.url)) },
    destinations: { type: 'string', default: '12' },
    /** Seconds from one simulated burst to the next. */
    interval: { type: 'string', default: '2' },
    empty: { type: 'boolean', default: false },
  },
});

const CSP =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; manifest-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'; " +
  "form-action 'self'; frame-ancestors 'none'";
const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

// --- what is simulated ---------------------------------------------------------------------------------------------

const startedAt = new Date().toISOString();
const log = [];
let position = 0;
const sockets = new Set();

function append(kind, fields) {
  position += 1;
  const update = { type: 'update', position, recorded_at: new Date().toISOString(), kind, job_id: null, destination_id: null, ...fields };
  log.push(update);
  // What changed is kept; of the samples, the newest.
  if (log.length > 20_000) log.splice(log.findIndex((each) => each.row), 1);
  for (const socket of sockets) socket.push(update);
  return position;
}

/** A number from 0 to 1 that depends on its arguments only. */
function noise(...parts) {
  let h = 2166136261;
  for (const part of parts) {
    h ^= part >>> 0;
    h = Math.imul(h, 16777619);
    h ^= h >>> 13;
    h = Math.imul(h, 2246822507);
  }
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

const PERSONALITIES = [
  { base: 0.045, spread: 0.012, loss: 0 },
  { base: 0.05, spread: 0.015, loss: 0 },
  { base: 0.9, spread: 0.25, loss: 0.0008 },
  { base: 8.4, spread: 0.9, loss: 0.001 },
  { base: 6.9, spread: 0.7, loss: 0.001 },
  { base: 24, spread: 3, loss: 0.012 },
  { base: 148, spread: 9, loss: 0.002 },
  { base: 31, spread: 14, loss: 0.09 },
  { base: 12, spread: 2, loss: 0, dead: true },
];

function burst(id, slot) {
  const p = PERSONALITIES[(id - 1) % PERSONALITIES.length];
  const hour = (slot / 3600) % 24;
  const load = 1 + 0.35 * Math.max(0, Math.sin(((hour - 7) / 14) * Math.PI));
  const spike = noise(id, slot, 77) > 0.985 ? 1 + 4 * noise(id, slot, 78) : 1;
  const outage = noise(id, Math.floor(slot / 5400), 5) > 0.985 && p.loss > 0;
  const rtts = [];
  for (let i = 0; i < 10; i++) {
    if (p.dead || outage || noise(id, slot, i, 1) < p.loss * load) continue;
    const gauss = noise(id, slot, i, 2) + noise(id, slot, i, 3) + noise(id, slot, i, 4) - 1.5;
    rtts.push(Math.max(p.base * 0.7, p.base * load + Math.abs(gauss) * p.spread * 1.6 * load + (i === 3 ? p.base * (spike - 1) : 0)));
  }
  return rtts.map((value) => Math.round(value * 1000) / 1000);
}

function rowOf(job, destination, slot, at) {
  const rtts = burst(destination.id, slot);
  const sorted = [...rtts].sort((a, b) => a - b);
  const n = rtts.length;
  const mean = n ? rtts.reduce((a, b) => a + b, 0) / n : null;
  const median = n ? (sorted[Math.floor((n - 1) / 2)] + sorted[Math.ceil((n - 1) / 2)]) / 2 : null;
  const deltas = rtts.slice(1).map((value, i) => Math.abs(value - rtts[i]));
  return {
    timestamp: new Date(slot * 1000).toISOString(),
    position: at,
    job_id: job.id,
    job: job.name,
    destination_id: destination.id,
    destination: destination.name,
    metric: 'ping',
    status: n === 10 ? 'success' : n > 0 ? 'partial' : 'timeout',
    response_time_ms: median,
    min_ms: n ? sorted[0] : null,
    mean_ms: mean,
    max_ms: n ? sorted[n - 1] : null,
    stddev_ms: n > 1 ? Math.sqrt(rtts.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1)) : null,
    p95_ms: null,
    jitter_ms: deltas.length ? deltas.reduce((a, b) => a + b, 0) / deltas.length : null,
    packet_loss_percent: (10 - n) * 10,
    packets_sent: 10,
    packets_received: n,
    resolved_address: destination.host,
    error: n ? null : 'no answer within 2 s',
  };
}

const now = () => new Date().toISOString();
const destinations = new Map();
const jobs = new Map();
let nextDestination = 1;
let nextJob = 1;

const NEVER = { status: 'unknown', since: null, last_sample_at: null, probe: null, response_time_ms: null, packet_loss_percent: null, jitter_ms: null, position: null, error: null, recent: [] };

function addDestination(input, actor = 'api:local', managed_by = 'user') {
  const id = nextDestination++;
  const destination = {
    id,
    name: input.name,
    host: input.host,
    port: input.port ?? null,
    display_name: input.display_name ?? null,
    description: input.description ?? null,
    tags: [...(input.tags ?? [])].sort(),
    status: input.status ?? 'active',
    managed_by,
    created_at: now(),
    updated_at: now(),
    latest: { ...NEVER },
  };
  destinations.set(id, destination);
  destination.position = append('destination_added', { destination_id: id, data: { spec: { name: destination.name, host: destination.host, tags: destination.tags, status: destination.status }, actor } });
  return destination;
}

function addJob(input, actor = 'api:local', managed_by = 'user') {
  const id = nextJob++;
  const job = {
    id,
    description: null,
    tags: [],
    enabled: true,
    interval_s: 60,
    metrics: ['ping', 'packet_loss', 'jitter'],
    destinations: [],
    destination_tags: [],
    start_time: null,
    end_time: null,
    active_hours: null,
    packets: 10,
    spacing_ms: 200,
    timeout_ms: 2000,
    options: { ping: { packets: 10, spacing_ms: 200, timeout_ms: 2000, payload_bytes: 56 } },
    ...input,
    managed_by,
    created_at: now(),
    updated_at: now(),
  };
  job.since = now();
  jobs.set(id, job);
  job.position = append('job_added', { job_id: id, data: { spec: { name: job.name, interval_s: job.interval_s, metrics: job.metrics }, actor } });
  return job;
}

const findDestination = (id) => [...destinations.values()].find((d) => String(d.id) === id || d.name.toLowerCase() === id.toLowerCase());
const findJob = (id) => [...jobs.values()].find((j) => String(j.id) === id || j.name.toLowerCase() === id.toLowerCase());
const members = (job) => [...destinations.values()].filter((d) => job.destinations.includes(d.name) || d.tags.some((tag) => job.destination_tags.includes(tag)));

function jobJson(job) {
  const { since, ...rest } = job;
  const next = new Date((Math.floor(Date.now() / 1000 / job.interval_s) + 1) * job.interval_s * 1000).toISOString();
  return {
    ...rest,
    destination_ids: [...destinations.values()].filter((d) => job.destinations.includes(d.name)).map((d) => d.id),
    state: job.enabled
      ? { name: 'running', since, why: 'enabled, and inside its window', next_run: next }
      : { name: 'stopped', since, why: 'not enabled', next_run: null },
  };
}

const destinationJson = (d) => ({ ...d, latest: { ...d.latest, status: d.status === 'paused' ? 'paused' : d.latest.status } });

function measure(job, destination, slot) {
  const row = rowOf(job, destination, slot, position + 1);
  append('ping_measured', { job_id: job.id, destination_id: destination.id, row });
  const before = destination.latest;
  const recent = [...before.recent, row.response_time_ms].slice(-60);
  destination.losses = [...(destination.losses ?? []), row.packet_loss_percent > 0].slice(-3);
  const status = row.status === 'timeout' ? 'down' : destination.losses.some(Boolean) ? 'degraded' : 'up';
  destination.latest = {
    status,
    since: status === before.status ? before.since : row.timestamp,
    last_sample_at: row.timestamp,
    probe: 'ping',
    response_time_ms: row.response_time_ms,
    packet_loss_percent: row.packet_loss_percent,
    jitter_ms: row.jitter_ms,
    position,
    error: null,
    recent,
  };
  Object.defineProperty(destination, 'losses', { enumerable: false, writable: true, value: destination.losses });
}

function seed() {
  append('collector_started', { data: { version: '0.1.0' } });
  if (flags.empty) return;
  addDestination({ name: 'localhost-v4', host: '127.0.0.1', display_name: 'This machine (IPv4)', tags: ['local'] }, 'config');
  addDestination({ name: 'localhost-v6', host: '::1', display_name: 'This machine (IPv6)', tags: ['local'] }, 'config');
  addDestination({ name: 'gateway', host: '192.168.1.1', display_name: 'Default gateway', tags: ['internet'], status: 'paused' }, 'config');
  addDestination({ name: 'google-dns', host: '8.8.8.8', display_name: 'Google Public DNS', tags: ['internet'], status: 'paused' }, 'config');
  addDestination({ name: 'cloudflare-dns', host: '1.1.1.1', display_name: 'Cloudflare DNS', tags: ['internet'], status: 'paused' }, 'config');
  const sites = ['frankfurt', 'singapore', 'branch-office', 'old-printer', 'warehouse', 'lab', 'backup'];
  const wanted = Number(flags.destinations);
  for (let i = 0; destinations.size < wanted; i++) {
    const site = sites[i % sites.length];
    const id = nextDestination;
    addDestination(
      { name: i < sites.length ? site : `${site}-${i}`, host: `10.20.${Math.floor(id / 250)}.${id % 250}`, tags: i % 3 ? ['site'] : ['site', 'vpn'] },
      'config',
      i % 4 === 1 ? 'config' : 'user',
    );
  }
  addJob({ name: 'this-machine', description: 'Shows at once that measuring works; its packets stay on this machine', destinations: ['localhost-v4', 'localhost-v6'] }, 'config');
  addJob({ name: 'internet', description: 'The way out: router and two well-known resolvers', enabled: false, destination_tags: ['internet'] }, 'config');
  addJob({ name: 'sites', description: 'All sites', interval_s: 60, destination_tags: ['site'] }, 'config', 'config');
  const slot = Math.floor(Date.now() / 60_000) * 60;
  for (const job of jobs.values()) {
    if (!job.enabled) continue;
    for (const destination of members(job)) for (let i = 59; i >= 0; i--) measure(job, destination, slot - i * 60);
  }
}
seed();

let turn = 0;
const timer = setInterval(() => {
  const active = [...jobs.values()].filter((job) => job.enabled).flatMap((job) => members(job).filter((d) => d.status === 'active').map((d) => [job, d]));
  if (active.length === 0) return;
  // Spread over the interval, as the real one does.
  const each = Math.max(1, Math.round(active.length / (Number(flags.interval) * 10)));
  for (let i = 0; i < each; i++) {
    if (active.length < Number(flags.interval) * 10 && turn++ % Math.round((Number(flags.interval) * 10) / active.length) !== 0) continue;
    const [job, destination] = active[(turn + i) % active.length];
    measure(job, destination, Math.floor(Date.now() / 1000));
  }
  turn += each;
}, 100);

// --- REST ----------------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, detail, more = {}) {
    super(detail);
    this.status = status;
    this.more = more;
  }
}

function checkDestination(input, self) {
  if (typeof input.host !== 'string' || input.host === '') throw new Refused(422, 'host is missing', { field: 'host', accepted: 'an IPv4 or IPv6 address or a host name' });
  if (!/^[a-z0-9.:_%-]+$/i.test(input.host)) throw new Refused(422, `host is "${input.host}", which is no address and no host name`, { field: 'host', accepted: 'an IPv4 or IPv6 address or a host name', hint: input.host.includes('://') ? 'leave the scheme out' : null });
  if (typeof input.name !== 'string' || input.name === '') throw new Refused(422, 'name is missing', { field: 'name' });
  const other = findDestination(input.name);
  if (other && other !== self) throw new Refused(409, `a destination is called "${other.name}" already`, { field: 'name', hint: 'take another name' });
  if (input.port !== null && input.port !== undefined && !(Number.isInteger(input.port) && input.port > 0 && input.port < 65536)) throw new Refused(422, 'port is not a port', { field: 'port', accepted: 'a whole number from 1 to 65535, or null' });
}

function seconds(words) {
  const found = String(words).match(/^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/);
  if (!found || words === '') throw new Refused(422, `interval is "${words}"`, { field: 'interval', accepted: 'a duration as "60s", "5m", "1h30m"' });
  const [d, h, m, s] = found.slice(1).map((part) => Number(part ?? 0));
  return d * 86400 + h * 3600 + m * 60 + s;
}

function readJob(input, self) {
  if (!input.name) throw new Refused(422, 'name is missing', { field: 'name' });
  const other = findJob(input.name);
  if (other && other !== self) throw new Refused(409, `a job is called "${other.name}" already`, { field: 'name' });
  const interval_s = input.interval_s ?? seconds(input.interval);
  if (interval_s < 60) throw new Refused(422, `interval is ${interval_s} s`, { field: 'interval', accepted: '60 s or more', hint: 'limits.min_interval_s in the config file may lower it' });
  if (!input.metrics?.length) throw new Refused(422, 'metrics is empty', { field: 'metrics', accepted: 'at least one of ping, packet_loss, jitter' });
  const ping = { packets: 10, spacing_ms: 200, timeout_ms: 2000, ...input.options?.ping };
  if (!(ping.packets >= 1 && ping.packets <= 1000)) throw new Refused(422, 'options.ping.packets is out of range', { field: 'options.ping.packets', accepted: 'a whole number from 1 to 1000' });
  if (input.start_time && input.end_time && input.start_time >= input.end_time) throw new Refused(422, 'end_time is not after start_time', { field: 'end_time', accepted: 'a time after start_time' });
  const { interval, ...rest } = input;
  void interval;
  return { ...rest, interval_s, packets: ping.packets, spacing_ms: ping.spacing_ms, timeout_ms: ping.timeout_ms };
}

const owned = (entry) => {
  if (entry.managed_by === 'config') throw new Refused(409, `"${entry.name}" is declared in the config file`, { hint: 'change it in the config file' });
};

function rows(job, query) {
  const to = query.get('end_time') ? Date.parse(query.get('end_time')) : Date.now() + 1000;
  const from = query.get('start_time') ? Date.parse(query.get('start_time')) : to - 86_400_000;
  const of = query.get('destination') ? [findDestination(query.get('destination'))] : members(job);
  const out = [];
  // Simulated on demand, every 60 s, for the past 30 days.
  const first = Math.max(Math.ceil(from / 60_000) * 60, Math.floor(Date.now() / 1000) - 30 * 86_400);
  const end = Math.min(to, Date.now() - 60_000) / 1000;
  for (const destination of of) {
    if (!destination) continue;
    for (let slot = first; slot < end && out.length < 100_000; slot += 60) {
      // A night in which this machine slept.
      if (Math.floor(slot / 86_400) % 5 === 0 && slot % 86_400 < 9_000) continue;
      out.push(rowOf(job, destination, slot, 1));
    }
    for (const update of log) {
      const at = update.row ? Date.parse(update.row.timestamp) : 0;
      if (update.row?.destination_id === destination.id && update.job_id === job.id && at >= Math.max(from, end * 1000) && at < to) out.push(update.row);
    }
  }
  out.sort((a, b) => a.timestamp.localeCompare(b.timestamp));
  return out;
}

async function route(method, path, query, body) {
  const [, , resource, rawId, action] = path.split('/');
  const id = rawId === undefined ? undefined : decodeURIComponent(rawId);
  if (resource === 'health') {
    return [200, {
      status: 'ok', version: '0.1.0', started_at: startedAt, position,
      log: { first: 1, last: position, head: '9f0eb1639cf1a2b4c8d0e7f6a5b4c3d2' },
      projectors: ['inventory', 'series', 'broadcast'].map((name) => ({ name, position, lag: 0, failure: null })),
      collector: { running: true, planned: 8, in_flight: 1, queued: 0, slots_run: position, slots_failed: 0, slots_missed: 0 },
      privileges: { icmp: 'datagram', fix: null }, problems: [],
    }];
  }
  if (resource === 'config' && method === 'POST') return [200, { position, changed: 0, warnings: [] }];
  if (resource === 'destinations') {
    if (id === undefined) {
      if (method === 'GET') return [200, { items: [...destinations.values()].map(destinationJson), position }];
      checkDestination(body);
      return [201, destinationJson(addDestination(body))];
    }
    const destination = findDestination(id);
    if (!destination) throw new Refused(404, `there is no destination "${id}"`);
    if (method === 'GET') return [200, destinationJson(destination)];
    owned(destination);
    if (method === 'DELETE') {
      destinations.delete(destination.id);
      return [200, { position: append('destination_removed', { destination_id: destination.id, data: { actor: 'api:local' } }) }];
    }
    checkDestination(body, destination);
    Object.assign(destination, body, { updated_at: now() });
    destination.position = append('destination_changed', { destination_id: destination.id, data: { spec: body, actor: 'api:local' } });
    return [200, destinationJson(destination)];
  }
  if (resource === 'jobs') {
    if (id === undefined) {
      if (method === 'GET') return [200, { items: [...jobs.values()].map(jobJson), position }];
      return [201, jobJson(addJob(readJob(body)))];
    }
    const job = findJob(id);
    if (!job) throw new Refused(404, `there is no job "${id}"`);
    if (action === 'metrics') return [200, rows(job, query)];
    if (method === 'GET') return [200, jobJson(job)];
    owned(job);
    if (action === 'start' || action === 'stop') {
      job.enabled = action === 'start';
      job.since = now();
      job.position = append(job.enabled ? 'job_started' : 'job_stopped', { job_id: job.id, data: { actor: 'api:local' } });
      if (job.enabled) for (const destination of members(job)) if (destination.status === 'active') measure(job, destination, Math.floor(Date.now() / 1000));
      return [200, jobJson(job)];
    }
    if (method === 'DELETE') {
      jobs.delete(job.id);
      return [200, { position: append('job_removed', { job_id: job.id, data: { actor: 'api:local' } }) }];
    }
    Object.assign(job, readJob(body, job), { updated_at: now() });
    job.position = append('job_changed', { job_id: job.id, data: { spec: body, actor: 'api:local' } });
    return [200, jobJson(job)];
  }
  throw new Refused(404, `there is nothing at ${path}`);
}

function file(path) {
  const exact = join(flags.dist, normalize(path));
  if (path !== '/' && extname(path) && exact.startsWith(flags.dist) && existsSync(exact)) return exact;
  return extname(path) ? null : join(flags.dist, 'index.html');
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  if (url.pathname.startsWith('/api/')) {
    let text = '';
    for await (const chunk of request) text += chunk;
    try {
      const [status, body] = await route(request.method, url.pathname, url.searchParams, text ? JSON.parse(text) : {});
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    } catch (error) {
      const status = error.status ?? 500;
      if (status === 500) console.error(error);
      const problem = { type: 'urn:network-stats:problem', title: 'Refused', status, detail: error.message, ...error.more };
      response.writeHead(status, { 'Content-Type': 'application/problem+json' }).end(JSON.stringify(problem));
    }
    return;
  }
  const found = file(url.pathname);
  if (!found) return void response.writeHead(404).end();
  response.writeHead(200, { 'Content-Type': TYPES[extname(found)] ?? 'text/plain', 'Content-Security-Policy': CSP, 'X-Content-Type-Options': 'nosniff' });
  response.end(readFileSync(found));
});

// --- WebSocket -----------------------------------------------------------------------------------------------------

const familyOf = (kind) => (/^(destination|job|config)_/.test(kind) ? 'config' : /^slots?_/.test(kind) ? 'run' : /_measured$/.test(kind) ? 'sample' : 'observer');

new WebSocketServer({ server, path: '/ws' }).on('connection', (ws) => {
  const say = (message) => ws.readyState === ws.OPEN && ws.send(JSON.stringify(message));
  let kinds = null;
  const socket = { push: (update) => kinds && (kinds.length === 0 || kinds.includes(familyOf(update.kind)) || kinds.includes(update.kind)) && say(update) };
  sockets.add(socket);
  say({ type: 'hello', position, version: '0.1.0' });
  const beat = setInterval(() => say({ type: 'heartbeat', position }), 20_000);
  ws.on('message', (data) => {
    const message = JSON.parse(String(data));
    if (message.op !== 'subscribe') return;
    kinds = message.kinds ?? [];
    say({ type: 'subscribed', id: message.id, position });
    if (message.from !== undefined) for (const update of log.filter((each) => each.position >= message.from)) socket.push(update);
  });
  ws.on('close', () => {
    clearInterval(beat);
    sockets.delete(socket);
  });
});

server.listen(Number(flags.port), '127.0.0.1', () => console.log(`http://localhost:${flags.port}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => { clearInterval(timer); process.exit(0); });
