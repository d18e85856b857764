// Who looks at the page. While no user is known, whoever is on this machine may do everything, and nobody logs in.

import { api, useSession } from './api';
import { forget } from './last-known';
import type { Me } from './types';

class Session {
  me = $state.raw<Me | null>(null);
  /** True once the server has said who asks, or could not be asked. */
  isKnown = $state(false);
  readonly mustLogIn = $derived(this.me !== null && this.me.role === null && this.me.login_needed);

  take(me: Me): void {
    this.me = me;
    this.isKnown = true;
    if (this.mustLogIn) void forget();
    useSession(me.csrf, () => this.#lost());
  }

  async read(): Promise<void> {
    try {
      this.take(await api.me());
    } catch {
      // The page says by itself that the server cannot be reached.
      this.isKnown = true;
      useSession(null, () => this.#lost());
    }
  }

  async logOut(): Promise<void> {
    await api.logout();
    await forget();
    location.reload();
  }

  /** The session is over, or somebody made the first user. */
  #lost(): void {
    if (!this.mustLogIn) void this.read();
  }
}

export const session = new Session();
