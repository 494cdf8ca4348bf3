// Makes stores at a given rate through very many call chains, on the main thread and in a worker, and drops them at
// once; in one phase under a collector that moves everything it can and forgets code that is not running.
//
// node --expose-gc storm.mjs RATE

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { SHAPE, Walker, writeWalks } from './walks.mjs';

// Above the pool slabs of all versions.
const SIZE = 66_048;

// A number of new chains a thread per phase: together below the sites that bufwatch keeps, but for the last.
const PHASES = [
  { phase: 'collections', seconds: 3, rateShare: 0.1, nNew: 2500, perGc: 50, flags: ['--compact-on-every-full-gc', '--stress-flush-code'] },
  { phase: 'some new', seconds: 5, rateShare: 1, nNew: 4500, flags: ['--no-compact-on-every-full-gc', '--no-stress-flush-code'] },
  { phase: 'all new', seconds: 3, rateShare: 1, nNew: Infinity, flags: [] },
];

class Thread {
  constructor(path) {
    this.path = path;
    this.walker = new Walker(path);
    this.nWalks = 0;
    this.nStores = 0;
    this.last = null;
  }

  async run({ seconds, rateShare, nNew, perGc }, rate) {
    const perSecond = rate * rateShare;
    const nTotal = Math.floor(perSecond * seconds);
    const nBefore = this.nWalks;
    const start = Date.now();
    for (let i = 0; i < nTotal;) {
      // A machine that is too slow makes fewer, it does not take longer.
      const elapsed = (Date.now() - start) / 1000;
      if (elapsed > seconds) {
        break;
      }
      const nDue = Math.min(nTotal, Math.ceil(elapsed * perSecond));
      for (; i < nDue; i += 1) {
        const number = nBefore + Math.floor(i * Math.min(1, nNew / nTotal));
        this.last = this.walker.take(number, SIZE);
        this.nWalks = number + 1;
        this.nStores += 1;
        if (perGc && i % perGc === 0) {
          globalThis.gc();
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return { script: this.path, n_walks: this.nWalks, n_stores: this.nStores };
  }
}

function answer(worker, message) {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.postMessage(message);
  });
}

async function main() {
  const { next, say } = await import('../protocol.mjs');
  const rate = Number(process.argv[2]) / 2;
  const folder = mkdtempSync(join(tmpdir(), 'bufwatch-storm-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const paths = ['main.cjs', 'worker.cjs'].map((name) => join(folder, name));
  const lines = paths.map((path, index) => writeWalks(path, 23 * index));
  const worker = new Worker(new URL(import.meta.url), { workerData: { path: paths[1], rate } });
  const thread = new Thread(paths[0]);
  await answer(worker, null);
  const threads = paths.map((script, index) => ({ script, lines: lines[index] }));
  say({ ready: true, phases: PHASES.map(({ phase }) => phase), shape: SHAPE, threads });
  for (const phase of PHASES) {
    await next();
    phase.flags.forEach(setFlagsFromString);
    const parts = await Promise.all([thread.run(phase, rate), answer(worker, phase)]);
    say({ phase: phase.phase, parts });
  }
  await next();
  process.exit(0);
}

if (isMainThread) {
  await main();
} else {
  const thread = new Thread(workerData.path);
  parentPort.on('message', async (phase) => {
    parentPort.postMessage(phase && (await thread.run(phase, workerData.rate)));
  });
}
