// What the viewer chose by hand, kept in this browser.

export type Theme = 'system' | 'light' | 'dark';

function load(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function save(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Forbidden storage: it holds until the page is closed.
  }
}

export { load as loadSaved, save as saveHere };

class Prefs {
  theme = $state<Theme>('system');
  isDense = $state(load('density') === 'dense');
  #systemDark = $state(matchMedia('(prefers-color-scheme: dark)').matches);
  isDark = $derived(this.theme === 'dark' || (this.theme === 'system' && this.#systemDark));

  constructor() {
    const theme = load('theme');
    if (theme === 'light' || theme === 'dark') this.theme = theme;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
      this.#systemDark = event.matches;
    });
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    save('theme', theme);
    if (theme === 'system') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }

  setDense(isDense: boolean): void {
    this.isDense = isDense;
    save('density', isDense ? 'dense' : 'roomy');
  }
}

export const prefs = new Prefs();
