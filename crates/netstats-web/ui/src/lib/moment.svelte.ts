// The moment that the whole interface looks at: now, or one of the past, which is in the address (`as_of=`).

import { lookAt } from './api';
import { live } from './live.svelte';
import { nav } from './nav.svelte';
import { momentOf } from './route';

/** How often a step is taken while the past is played. */
const STEP_MS = 250;
export const SPEEDS = [1, 10, 60, 300, 1000] as const;

class Moment {
  /** Milliseconds; null is now. */
  readonly past = $derived(momentOf(nav.query));
  /** What "now" means to every page. */
  readonly now = $derived(this.past ?? live.now);
  isPlaying = $state(false);
  speed = $state<number>(60);
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Keeps what is read in step with the address; to be called once, from an effect's root. */
  follow(): void {
    $effect.pre(() => {
      const past = this.past;
      lookAt(past === null ? null : new Date(past).toISOString());
      live.lookAt(past);
    });
  }

  go(at: number): void {
    // The present is not a moment of the past.
    if (at >= Date.now() - 1000) return this.live();
    nav.setQuery((query) => query.set('as_of', new Date(at).toISOString()));
  }

  live(): void {
    this.pause();
    nav.setQuery((query) => query.delete('as_of'), true);
  }

  play(): void {
    if (this.past === null) return;
    this.isPlaying = true;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      // A step is taken when the one before is on the screen.
      if (this.past === null || live.isReading) return;
      this.go(this.past + STEP_MS * this.speed);
    }, STEP_MS);
  }

  pause(): void {
    this.isPlaying = false;
    clearInterval(this.#timer);
  }
}

export const moment = new Moment();
