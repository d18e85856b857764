import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';
import { PAGES } from './src/lib/route.ts';

// `npm run dev` serves the pages with hot reload, in front of a running program (or `npm run mock`).
const backend = process.env.NETWORK_STATS_URL ?? 'http://localhost:8080';

const here = (path: string) => new URL(path, import.meta.url);

/** Writes `sw.js`: worker/sw.js under the list of what it keeps. Other files make another worker. */
function serviceWorker(): Plugin {
  return {
    name: 'service-worker',
    apply: 'build',
    generateBundle(_, bundle) {
      const statics = readdirSync(here('public/')).sort();
      const files = [...Object.keys(bundle).filter((name) => name.startsWith('assets/')), ...statics].map((name) => `/${name}`);
      const worker = readFileSync(here('worker/sw.js'), 'utf8');
      const hash = createHash('sha256').update(JSON.stringify([files, worker]));
      for (const name of [...statics.map((name) => `public/${name}`), 'index.html']) hash.update(readFileSync(here(name)));
      const version = hash.digest('base64url').slice(0, 16);
      const head = Object.entries({ VERSION: version, FILES: files, PAGES }).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`);
      this.emitFile({ type: 'asset', fileName: 'sw.js', source: head.join('') + worker });
    },
  };
}

export default defineConfig({
  plugins: [svelte(), serviceWorker()],
  build: {
    target: 'es2022',
    // The policy forbids inline scripts and data: scripts; small files are files like the others.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    port: 5173,
    proxy: {
      // The server answers its own pages only, and goes by Host and Origin.
      '/api': { target: backend, changeOrigin: true, headers: { origin: backend } },
      '/ws': { target: backend, changeOrigin: true, headers: { origin: backend }, ws: true },
    },
  },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
