// What the pages show: everything read once over REST, then kept up to date by the WebSocket. A destination is an
// object of its own, so that an update touches one row and nothing else.

import { api, Problem } from './api';
import { foldSample, isStale, NOTHING } from './fold';
import { keep, recall } from './last-known';
import type { Columns } from './series';
import { Socket, type Link } from './socket';
import { text } from './text';
import type { Destination, Health, Job, Latest, Status, Update } from './types';

export class Item {
  readonly id: number;
  spec = $state.raw<Destination>({} as Destination);
  latest = $state.raw<Latest>(NOTHING);
  /** What the latest figures are too old for; set by the clock. */
  stale = $state(false);
  /** The last hour for a little chart, where it was asked for: what ends at `to`, in seconds. */
  hour = $state.raw<{ to: number; columns: Columns } | null>(null);
  /** Seconds between samples now; null if no job measures it. */
  interval = $state<number | null>(null);

  constructor(destination: Destination) {
    this.id = destination.id;
    this.take(destination);
  }

  /** `isOther`: of another moment than what is shown. */
  take(destination: Destination, isOther = false): void {
    this.spec = destination;
    // An answer that was on its way while updates came must not undo them.
    const latest = destination.latest ?? NOTHING;
    if (isOther || (latest.position ?? 0) >= (this.latest.position ?? 0)) this.latest = latest;
  }

  get name(): string {
    return this.spec.display_name || this.spec.name;
  }

  get status(): Status {
    if (this.spec.status === 'paused') return 'paused';
    return this.stale ? 'unknown' : this.latest.status;
  }
}

/** What listeners of single updates get; the history page and the charts use it. */
type Watcher = (updates: Update[]) => void;

const KINDS = ['sample', 'run', 'config', 'observer'];
const JOBS_EVERY_MS = 20_000;
const HEALTH_EVERY_MS = 30_000;
/** So many destinations of uncertain status are asked about one by one, more by reading everything. */
const SINGLY = 8;
const ASK_MS = 200;
const ASK_ALL_MS = 1_500;
/** The pause before a first read that failed is tried again. */
const RETRY_MS = 3_000;
/** How often what is known is kept for when the server is away: seldom, for it is a megabyte at 1,000 destinations. */
const KEEP_EVERY_MS = 300_000;

class Live {
  items = $state.raw<Item[]>([]);
  jobs = $state.raw<Job[]>([]);
  link = $state.raw<Link>({ state: 'connecting' });
  /** Why the first read failed, if it did. */
  failure = $state.raw<Problem | null>(null);
  isLoaded = $state(false);
  /** Position of the newest update or read. */
  position = $state(0);
  /** A clock for "ago" texts and staleness, in steps of a second; it stands still while the past is looked at. */
  now = $state(Date.now());
  /** True while everything is read. */
  isReading = $state(false);
  /** When the first destination was added: nothing is known before. */
  first = $state(Date.now());

  /** What is wrong with the program itself, in its own words. */
  problems = $state.raw<Health['problems']>([]);

  #healthReadAt = 0;
  #byId = new Map<number, Item>();
  #socket: Socket | null = null;
  #watchers = new Set<Watcher>();
  #reading: Promise<void> | null = null;
  #readAgain = false;
  #uncertain = new Set<number>();
  #settling: ReturnType<typeof setTimeout> | undefined;
  #jobsReadAt = 0;
  #keptAt = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #past: number | null = null;
  /** The moment of what is shown; null is now. */
  shown = $state<number | null>(null);

  byId = $derived.by(() => new Map(this.items.map((item) => [item.id, item])));

  find(idOrName: string): Item | undefined {
    return (
      this.items.find((item) => String(item.id) === idOrName) ??
      this.items.find((item) => item.spec.name.toLowerCase() === idOrName.toLowerCase())
    );
  }

  findJob(idOrName: string): Job | undefined {
    return (
      this.jobs.find((job) => String(job.id) === idOrName) ??
      this.jobs.find((job) => job.name.toLowerCase() === idOrName.toLowerCase())
    );
  }

  start(): () => void {
    void this.read();
    const tick = setInterval(() => this.#tick(), 1000);
    const wake = () => {
      if (document.visibilityState === 'visible') {
        this.wake();
      } else {
        // It may be the last that is heard of the tab.
        this.#keep();
      }
    };
    addEventListener('online', wake);
    document.addEventListener('visibilitychange', wake);
    return () => {
      clearInterval(tick);
      clearTimeout(this.#retry);
      clearTimeout(this.#settling);
      removeEventListener('online', wake);
      document.removeEventListener('visibilitychange', wake);
      this.#socket?.close();
      this.#socket = null;
    };
  }

  /** Another moment to look at: of the past, or null for now. */
  lookAt(past: number | null): void {
    if (past === this.#past) return;
    this.#past = past;
    this.now = past ?? Date.now();
    if (this.isLoaded) void this.read();
  }

  /** Tries the lost connection again at once. */
  wake(): void {
    this.#socket?.wake();
    if (!this.#socket) void this.read();
  }

  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Reads everything; calls while it is under way lead to one more reading after it. */
  read(): Promise<void> {
    if (this.#reading) {
      this.#readAgain = true;
      return this.#reading;
    }
    this.isReading = true;
    clearTimeout(this.#retry);
    this.#reading = this.#readAll().finally(() => {
      this.#reading = null;
      this.isReading = false;
      if (this.#readAgain) {
        this.#readAgain = false;
        void this.read();
      }
    });
    return this.#reading;
  }

  async #readAll(): Promise<void> {
    const past = this.#past;
    try {
      const [destinations, jobs] = await Promise.all([api.destinations(), api.jobs()]);
      // The moment was changed meanwhile: the next read, which is due already, tells of that one.
      if (past !== this.#past) return;
      this.#takeDestinations(destinations.items, past !== null || past !== this.shown);
      this.shown = past;
      this.jobs = jobs.items;
      this.#jobsReadAt = Date.now();
      this.#reckon();
      this.failure = null;
      this.isLoaded = true;
      for (const { created_at } of destinations.items) this.first = Math.min(this.first, Date.parse(created_at));
      const position = Math.min(destinations.position, jobs.position);
      if (past !== null) {
        // The socket follows the present, from where it was begun.
        if (!this.#socket) this.#connect((await api.health()).position);
        return;
      }
      this.position = Math.max(this.position, position);
      if (this.#socket) this.#socket.seen(position);
      else this.#connect(position);
    } catch (error) {
      this.failure = error instanceof Problem ? error : new Problem(0, String(error));
      // Before the first success there is no socket that would come back and ask again.
      if (this.#socket) return;
      if (this.failure.status === 0) await this.#recall();
      if (this.link.state === 'lost') this.link = { ...this.link, retryAt: Date.now() + RETRY_MS };
      this.#retry = setTimeout(() => void this.read(), RETRY_MS);
    }
  }

  /** The server is away: what was known last is shown, and said to be old. */
  async #recall(): Promise<void> {
    const known = this.isLoaded ? null : await recall();
    if (!known) return;
    this.#takeDestinations(known.destinations, true);
    this.jobs = known.jobs;
    this.link = { state: 'lost', since: known.at, retryAt: Date.now() };
    this.isLoaded = true;
  }

  #keep(): void {
    if (this.#past !== null || !this.isLoaded || this.link.state !== 'live') return;
    this.#keptAt = Date.now();
    void keep({ at: this.#keptAt, destinations: this.items.map((item) => ({ ...item.spec, latest: item.latest })), jobs: this.jobs });
  }

  #takeDestinations(list: Destination[], isOther: boolean): void {
    let isSame = list.length === this.items.length;
    const items = list.map((destination, i) => {
      const item = this.#byId.get(destination.id);
      isSame &&= item !== undefined && item === this.items[i] && item.spec.position === destination.position;
      if (!item) return new Item(destination);
      item.take(destination, isOther);
      return item;
    });
    // Whoever sorts and filters a thousand of them need not do it again for figures alone.
    if (isSame) return;
    this.#byId = new Map(items.map((item) => [item.id, item]));
    this.items = items;
  }

  #connect(position: number): void {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    this.#socket = new Socket(
      { url: `${scheme}://${location.host}/ws`, position, kinds: KINDS, gatherMs: 250 },
      {
        link: (link) => (this.link = link),
        updates: (batch) => this.#take(batch),
        reset: () => void this.read(),
      },
    );
  }

  #take(batch: Update[]): void {
    if (this.#past !== null) return;
    let isConfigChanged = false;
    for (const update of batch) {
      const item = update.destination_id === null ? undefined : this.#byId.get(update.destination_id);
      if (update.row) {
        if (item) this.#fold(item, foldSample(item.latest, update));
      } else if (/^(destination|job|config)_/.test(update.kind)) {
        isConfigChanged = true;
      } else if (update.kind === 'uplink_lost' || update.kind === 'uplink_restored') {
        isConfigChanged = true;
      }
    }
    const last = batch.at(-1);
    if (last) this.position = Math.max(this.position, last.position);
    if (isConfigChanged) void this.read();
    this.#settle();
    for (const watcher of this.#watchers) watcher(batch);
  }

  #fold(item: Item, folded: { latest: Latest; isUncertain: boolean }): void {
    item.latest = folded.latest;
    item.stale = false;
    if (folded.isUncertain) this.#uncertain.add(item.id);
  }

  /** Lets what is uncertain gather for a moment: when a network goes down it is everything. */
  #settle(): void {
    if (this.#uncertain.size === 0) return;
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      this.#ask();
    }, this.#uncertain.size > SINGLY ? ASK_ALL_MS : ASK_MS);
  }

  /** Asks the server about destinations whose status may have changed: each once, or all at once if there are many. */
  #ask(): void {
    const ids = [...this.#uncertain];
    this.#uncertain.clear();
    if (ids.length > SINGLY) {
      void this.read();
      return;
    }
    for (const id of ids) {
      api.destination(id).then(
        (destination) => {
          if (this.#past !== null) return;
          this.#byId.get(id)?.take(destination);
          this.#reckon();
        },
        () => undefined,
      );
    }
  }

  #tick(): void {
    if (this.#past !== null) return;
    this.now = Date.now();
    if (document.visibilityState === 'hidden' || !this.isLoaded || this.link.state !== 'live') return;
    this.#reckon();
    if (this.now - this.#keptAt > KEEP_EVERY_MS) this.#keep();
    if (this.now - this.#healthReadAt > HEALTH_EVERY_MS) {
      this.#healthReadAt = this.now;
      api.health().then(
        (health) => (this.problems = health.problems),
        () => undefined,
      );
    }
    if (this.now - this.#jobsReadAt > JOBS_EVERY_MS) {
      this.#jobsReadAt = this.now;
      api.jobs().then(
        (jobs) => {
          if (this.#past !== null) return;
          this.jobs = jobs.items;
          this.#reckon();
        },
        () => undefined,
      );
    }
  }

  /** How often each destination is measured, and whether what is known of it is too old. */
  #reckon(): void {
    const intervals = new Map<number, number>();
    for (const job of this.jobs) {
      if (job.state?.name !== 'running' && job.state?.name !== 'error') continue;
      for (const item of membersOf(job, this.items)) {
        intervals.set(item.id, Math.min(job.interval_s, intervals.get(item.id) ?? Infinity));
      }
    }
    for (const item of this.items) {
      item.interval = intervals.get(item.id) ?? null;
      item.stale = isStale(item.latest.last_sample_at, item.interval, this.now);
    }
  }

  /** Runs a change and says how it went; true if it was done. */
  async act(action: () => Promise<unknown>, done: string): Promise<boolean> {
    try {
      await action();
      notices.say(done);
      return true;
    } catch (error) {
      notices.say(error instanceof Problem ? error.whole : String(error), 'bad');
      return false;
    } finally {
      await this.read();
    }
  }
}

/** Asked for every second, of jobs with a thousand destinations. */
const idsOf = new WeakMap<Job, ReadonlySet<number>>();

export function membersOf(job: Job, items: readonly Item[]): Item[] {
  const ids = idsOf.get(job) ?? new Set(job.destination_ids);
  idsOf.set(job, ids);
  const tags = job.destination_tags;
  return items.filter((item) => ids.has(item.id) || (tags.length > 0 && item.spec.tags.some((tag) => tags.includes(tag))));
}

/** Why a figure is undefined. */
export function whyUndefined(item: Item): string {
  if (item.latest.last_sample_at === null) {
    if (item.spec.status === 'paused') return text.why.pausedNever;
    return item.interval === null ? text.why.noJob : text.why.notYet;
  }
  return item.latest.packet_loss_percent === 100 ? text.why.allLost : text.why.notMeasured;
}

interface Notice {
  id: number;
  words: string;
  tone: 'good' | 'bad';
}

class Notices {
  list = $state.raw<Notice[]>([]);
  #next = 1;

  say(words: string, tone: 'good' | 'bad' = 'good'): void {
    const id = this.#next++;
    this.list = [...this.list.slice(-2), { id, words, tone }];
    // A refusal stays long enough to be read twice.
    setTimeout(() => this.dismiss(id), tone === 'bad' ? 15_000 : 4_000);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }
}

export const notices = new Notices();
export const live = new Live();
