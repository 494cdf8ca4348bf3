// Stores of 64 KiB that die at once, through one call chain or through a new one each. The chains are those of the
// live tests. With `rate` it makes so many new sites a second until stdin closes or two minutes have passed.
//
// node sites.mjs same:SCALE | new:SCALE | rate:SITES_A_SECOND

import { mkdtempSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Walker, writeWalks } from '../../bufwatch/tests/live/scenarios/stacks/walks.mjs';
import { timed } from './timed.mjs';

const SIZE = 65536;
const N_STORES = 200_000;
const N_WARM = 20_000;

// Far from the walks that are measured.
const FIRST_WARM = 2_500_000;
const PERIOD_MS = 5;
const LIMIT_MS = 120_000;

const folder = mkdtempSync(join(tmpdir(), 'bufwatch-sites-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'walks.cjs');
writeWalks(path, 0);
const walker = new Walker(path);

// Below the size that is traced: code is as hot in an untraced run as in a traced one.
for (let i = 0; i < N_WARM; i += 1) {
  walker.take(FIRST_WARM + i, 256);
}

let last = null;
let nWalks = 0;

function makeAtRate(rate) {
  const start = Date.now();
  const timer = setInterval(() => {
    const elapsed = Date.now() - start;
    if (elapsed > LIMIT_MS) {
      clearInterval(timer);
    }
    for (const nDue = (elapsed / 1000) * rate; nWalks < nDue; nWalks += 1) {
      last = walker.take(nWalks, SIZE);
    }
  }, PERIOD_MS);
}

const [mode, number] = process.argv[2].split(':');
if (mode === 'rate') {
  const input = createInterface({ input: process.stdin });
  input.once('line', () => makeAtRate(Number(number)));
  input.once('close', () => process.exit(last?.length === 0 ? 1 : 0));
  console.log('READY');
} else {
  timed(() => {
    const n = Math.max(1, Math.round(N_STORES * Number(number)));
    for (let i = 0; i < n; i += 1) {
      last = walker.take(mode === 'new' ? i : 0, SIZE);
    }
    return n + (last.length === 0 ? 1 : 0);
  });
}
