// Something that is read when what it depends on changes: the last question wins, the answer before stays until the
// new one is there, so that nothing jumps.

import { untrack } from 'svelte';
import { Problem } from './api';

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  isLoading = $state(false);
  #again = $state(0);

  /**
   * `question` says what to ask, or null for nothing; it is run as an effect, and what it reads is what it depends on.
   * A question equal to the last one is not asked again.
   */
  constructor(
    question: () => ((signal: AbortSignal) => Promise<T>) | null,
    key: () => unknown,
    /** Milliseconds to wait for a newer question, but for the first. */
    wait = 150,
  ) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let controller: AbortController | null = null;
    $effect(() => {
      const isNamed = JSON.stringify(key());
      void this.#again;
      const ask = untrack(question);
      clearTimeout(timer);
      if (!ask) {
        controller?.abort();
        this.value = null;
        this.isLoading = false;
        return;
      }
      void isNamed;
      timer = setTimeout(() => {
        controller?.abort();
        const mine = new AbortController();
        controller = mine;
        this.isLoading = true;
        ask(mine.signal).then(
          (value) => {
            if (mine.signal.aborted) return;
            this.value = value;
            this.problem = null;
            this.isLoading = false;
          },
          (error: unknown) => {
            if (mine.signal.aborted) return;
            this.problem = error instanceof Problem ? error : new Problem(0, String(error));
            this.isLoading = false;
          },
        );
      }, untrack(() => this.value === null) ? 0 : wait);
    });
    $effect(() => () => {
      clearTimeout(timer);
      controller?.abort();
    });
  }

  again = (): void => {
    this.#again++;
  };
}
