// Where we are, and links that do not load the page again.

import { keepMoment, routeOf } from './route';

class Nav {
  path = $state(location.pathname);
  query = $state.raw(new URLSearchParams(location.search));
  route = $derived(routeOf(this.path));

  constructor() {
    addEventListener('popstate', () => this.#read());
  }

  #read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }

  go(address: string): void {
    history.pushState(null, '', keepMoment(address, this.query));
    this.#read();
    scrollTo(0, 0);
  }

  /** Changes the query in place; `step` makes it one that "back" undoes. */
  setQuery(change: (query: URLSearchParams) => void, step = false): void {
    const query = new URLSearchParams(this.query);
    change(query);
    const words = query.toString();
    if (words === this.query.toString()) return;
    const address = this.path + (words ? `?${words}` : '');
    if (step) history.pushState(null, '', address);
    else history.replaceState(null, '', address);
    this.query = query;
  }

  /** For clicks anywhere: a plain click on a link of ours stays in the page. */
  click = (event: MouseEvent): void => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = (event.target as Element).closest('a');
    if (!link || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || /^\/(api|ws|docs)(\/|$)/.test(url.pathname)) return;
    if (url.pathname === location.pathname && url.hash) return;
    event.preventDefault();
    this.go(url.pathname + url.search);
  };
}

export const nav = new Nav();
