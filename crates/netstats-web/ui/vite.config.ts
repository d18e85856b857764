import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `npm run dev` serves the pages with hot reload, in front of a running program (or `npm run mock`).
const backend = process.env.NETWORK_STATS_URL ?? 'http://localhost:8080';

export default defineConfig({
  plugins: [svelte()],
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
