// A file copied by streams, the way uploads and backups go through a service.

import { createReadStream, createWriteStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import { scaled, timed } from './timed.mjs';

const FILE_SIZE = 64 * 1048576;

const folder = mkdtempSync(join(tmpdir(), 'bufwatch-bench-'));
const source = join(folder, 'source');
writeFileSync(source, Buffer.alloc(FILE_SIZE, 'x'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

timed(async () => {
  const n = scaled(30);
  for (let i = 0; i < n; i += 1) {
    await pipeline(createReadStream(source), createWriteStream(join(folder, 'copy')));
  }
  return n * FILE_SIZE;
});
