// Compresses and hashes what Vite made, and writes the table that build.rs embeds. Used as:
//   node scripts/pack.mjs DIST TABLE
// One line a file: path, content type, hash, immutable, file, gzip file, brotli file (empty where it saves nothing).
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join, relative, resolve, sep } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
};

const [dist, table] = process.argv.slice(2).map((path) => resolve(path));
if (!dist || !table) throw new Error('usage: node scripts/pack.mjs DIST TABLE');

const lines = readdirSync(dist, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
  .sort()
  .map((file) => {
    const path = '/' + relative(dist, file).split(sep).join('/');
    const type = TYPES[extname(file)];
    if (!type) throw new Error(`${path}: no content type known for "${extname(file)}"; add it to scripts/pack.mjs`);
    const bytes = readFileSync(file);
    const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
    // Vite puts a content hash into every name under assets/.
    const immutable = path.startsWith('/assets/') ? 'yes' : 'no';
    const packed = (suffix, compressed) => {
      if (compressed.length >= bytes.length * 0.95) return '';
      writeFileSync(file + suffix, compressed);
      return file + suffix;
    };
    const gzip = packed('.gz', gzipSync(bytes, { level: 9 }));
    const brotli = packed(
      '.br',
      brotliCompressSync(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
      }),
    );
    return [path, type, hash, immutable, file, gzip, brotli].join('\t');
  });
writeFileSync(table, lines.join('\n') + '\n');
