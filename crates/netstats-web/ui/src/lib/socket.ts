// The WebSocket: subscribes from the last position seen, notices silence, comes back with growing pauses. Knows
// nothing of what the updates mean.

import type { ServerMessage, Update } from './types';

export type Link =
  | { state: 'connecting' }
  | { state: 'live' }
  /** Lost, and tried again at `retryAt`. */
  | { state: 'lost'; since: number; retryAt: number };

/** The server says something every 20 s; a connection that is silent for longer than this is dead. */
export const SILENCE_MS = 50_000;
/** The pause before the n-th try: 0.5 s, doubled each time up to 15 s, and up to a fifth less at random. */
export function pause(tries: number, random: number): number {
  return Math.min(15_000, 500 * 2 ** Math.min(tries, 10)) * (1 - random * 0.2);
}

export interface Listener {
  link(link: Link): void;
  updates(batch: Update[]): void;
  /** What is known may have holes: read everything again. */
  reset(): void;
}

export interface Options {
  url: string;
  /** Positions up to this one are known. */
  position: number;
  /** What the replay begins after while nothing is known; without it there is no replay. */
  from?: number;
  kinds: string[];
  /** Only these jobs; all without it. */
  jobs?: number[];
  /** How long updates are gathered before they are handed over, in milliseconds. */
  gatherMs: number;
}

export class Socket {
  #socket: WebSocket | null = null;
  #position: number;
  #tries = 0;
  #lostSince: number | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #flush: ReturnType<typeof setTimeout> | undefined;
  #batch: Update[] = [];
  #isClosed = false;

  constructor(
    private readonly options: Options,
    private readonly listener: Listener,
    private readonly open: (url: string) => WebSocket = (url) => new WebSocket(url),
  ) {
    this.#position = options.position;
    this.#connect();
  }

  get position(): number {
    return this.#position;
  }

  /** After everything was read again: go on from there. */
  seen(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  /** Tries at once, for when the network or the tab comes back. */
  wake(): void {
    if (this.#socket || this.#isClosed) return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
    clearTimeout(this.#flush);
    const socket = this.#socket;
    this.#socket = null;
    // One that is still being opened may not be closed without a complaint of the browser.
    if (socket?.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket?.close();
  }

  #connect(): void {
    if (this.#lostSince === null) this.listener.link({ state: 'connecting' });
    const socket = this.open(this.options.url);
    this.#socket = socket;
    this.#heard();
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#heard();
      let message: ServerMessage;
      try {
        message = JSON.parse(String(event.data)) as ServerMessage;
      } catch {
        return;
      }
      this.#take(message);
    };
    socket.onclose = () => {
      if (socket === this.#socket) this.#lost();
    };
  }

  #take(message: ServerMessage): void {
    switch (message.type) {
      case 'hello': {
        // A server that is behind us has lost its log or is another one: nothing known counts.
        const isBehind = message.position < this.#position;
        if (isBehind) this.#position = message.position;
        const subscribe: Record<string, unknown> = { op: 'subscribe', id: 'page', kinds: this.options.kinds };
        if (this.options.jobs) subscribe['jobs'] = this.options.jobs;
        if (this.#position > 0) subscribe['from'] = this.#position;
        else if (this.options.from !== undefined) subscribe['from'] = this.options.from;
        this.#socket?.send(JSON.stringify(subscribe));
        if (isBehind) this.listener.reset();
        break;
      }
      case 'subscribed':
        this.#tries = 0;
        this.#lostSince = null;
        this.listener.link({ state: 'live' });
        break;
      case 'update':
        // A replay begins at a position that may be known already.
        if (message.position <= this.#position) break;
        this.#position = message.position;
        this.#batch.push(message);
        this.#flush ??= setTimeout(() => this.#hand(), this.options.gatherMs);
        break;
      case 'lagged':
      case 'reset':
        this.#hand();
        this.listener.reset();
        break;
      case 'heartbeat':
        // Everything wanted up to there was sent: a later replay need not begin before it.
        this.#position = Math.max(this.#position, message.position);
        break;
      case 'error':
        break;
    }
  }

  #hand(): void {
    clearTimeout(this.#flush);
    this.#flush = undefined;
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length > 0) this.listener.updates(batch);
  }

  #heard(): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      const socket = this.#socket;
      this.#lost();
      socket?.close();
    }, SILENCE_MS);
  }

  #lost(): void {
    this.#hand();
    this.#socket = null;
    clearTimeout(this.#watch);
    if (this.#isClosed) return;
    this.#lostSince ??= Date.now();
    const wait = pause(this.#tries++, Math.random());
    this.listener.link({ state: 'lost', since: this.#lostSince, retryAt: Date.now() + wait });
    this.#retry = setTimeout(() => this.#connect(), wait);
  }
}
