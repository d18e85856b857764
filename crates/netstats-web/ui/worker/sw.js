// The service worker keeps the page itself, so that it opens without its server and can say so. It does not look at
// /api, /ws or /docs: figures that may be old are the page's own affair (src/lib/last-known.ts). VERSION, FILES and
// PAGES are written above this by the build (vite.config.ts).

const CACHE = `page-${VERSION}`;
/** How long a server may take for the page before the kept one is shown. */
const PATIENCE_MS = 3_000;
/** Encodings and origins that an answer may vary by are the same bytes here. */
const ANYHOW = { ignoreVary: true };

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(['/', ...FILES])));
});

// Taken over only when no tab with the version before is open: its pieces are kept until then.
self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches.keys().then((names) => Promise.all(names.filter((name) => name.startsWith('page-') && name !== CACHE).map((name) => caches.delete(name)))),
  );
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== 'GET' || origin !== location.origin) return;
  if (request.mode === 'navigate') {
    if (pathname === '/' || PAGES.includes(pathname.split('/')[1])) event.respondWith(page(request));
  } else if (pathname.startsWith('/assets/')) {
    // A name in there never means other bytes.
    event.respondWith(caches.match(pathname, ANYHOW).then((kept) => kept ?? fetch(request)));
  } else if (FILES.includes(pathname)) {
    event.respondWith(fetch(request).catch(() => kept(pathname)));
  }
});

/** What the server says is newer than what is kept; without an answer in time the kept page is better than none. */
async function page(request) {
  const asked = fetch(request);
  const late = new Promise((resolve) => {
    setTimeout(resolve, PATIENCE_MS);
  });
  try {
    return (await Promise.race([asked, late])) ?? (await kept('/'));
  } catch {
    return kept('/');
  }
}

async function kept(path) {
  return (await caches.match(path, ANYHOW)) ?? Response.error();
}
