// Makes and drops stores of random sizes, 65601 bytes to 8 MiB, in the main thread and three workers.
// Sizes are different as long as that is possible, lifetimes are random, the generator is seeded.
// After each phase everything that was dropped is dead, and the program prints what it made in all and
// what is alive.
//
// node --expose-gc random-lifetimes.mjs SEED OPERATIONS_PER_THREAD_AND_PHASE

import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { Settler } from './settle.mjs';

const N_WORKERS = 3;
const SIZE_MIN = 65_601;
const SIZE_MAX = 8 * 1048576;

// Bounds the memory of the run: about 40 stores a thread, most of them small.
const N_LIVE_MAX = 40;

const PHASES = ['grow', 'churn', 'drop'];

const kinds = [
  (size) => Buffer.alloc(size).buffer,
  (size) => Buffer.allocUnsafeSlow(size).buffer,
  (size) => new ArrayBuffer(size),
  (size) => new Uint8Array(size).buffer,
  (size) => new SharedArrayBuffer(size),
];

// mulberry32: small, and good enough to spread sizes.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class Thread {
  constructor(index, seed, nOperations) {
    this.index = index;
    this.nOperations = nOperations;
    this.random = generator(seed * 31 + index);
    this.used = new Set();
    this.live = [];
    this.settler = new Settler();
    this.nCreated = 0;
    this.createdBytes = 0;
  }

  // Threads have sizes of different remainders, so that none is made twice. Most are small.
  nextSize() {
    const span = SIZE_MAX - SIZE_MIN;
    for (let i = 0; i < 100; i += 1) {
      const raw = SIZE_MIN + Math.floor(this.random() ** 3 * span);
      const size = raw - (raw % (N_WORKERS + 1)) + N_WORKERS + 1 + this.index;
      if (!this.used.has(size)) {
        this.used.add(size);
        return size;
      }
    }
    return SIZE_MIN + this.index;
  }

  create() {
    const size = this.nextSize();
    this.live.push(kinds[Math.floor(this.random() * kinds.length)](size));
    this.nCreated += 1;
    this.createdBytes += size;
  }

  drop() {
    const [store] = this.live.splice(Math.floor(this.random() * this.live.length), 1);
    this.settler.willDie(store);
  }

  async run(phase) {
    if (phase === 'drop') {
      while (this.live.length > 0) {
        this.drop();
      }
    }
    const share = phase === 'grow' ? 0.35 : 0.5;
    for (let i = 0; i < this.nOperations && phase !== 'drop'; i += 1) {
      const isFull = this.live.length >= N_LIVE_MAX;
      if (this.live.length > 0 && (isFull || this.random() < share)) {
        this.drop();
      } else {
        this.create();
      }
      // Other threads and the collector get their turns in between.
      if (i % 64 === 0) {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const settled = await this.settler.settle();
    return {
      settled,
      n_created: this.nCreated,
      created_bytes: this.createdBytes,
      sizes: this.live.map((store) => store.byteLength),
    };
  }
}

function answer(worker, message) {
  return new Promise((resolve) => {
    worker.once('message', resolve);
    worker.postMessage(message);
  });
}

async function main() {
  const { next, say } = await import('./protocol.mjs');
  const [seed, nOperations] = process.argv.slice(2).map(Number);
  const workers = Array.from(
    { length: N_WORKERS },
    (_, index) => new Worker(new URL(import.meta.url), { workerData: { index: index + 1, seed, nOperations } }),
  );
  await Promise.all(workers.map((worker) => answer(worker, 'hello')));
  const thread = new Thread(0, seed, nOperations);
  say({ ready: true, phases: PHASES });
  for (const phase of PHASES) {
    await next();
    const parts = await Promise.all([thread.run(phase), ...workers.map((worker) => answer(worker, phase))]);
    const sum = (field) => parts.reduce((total, part) => total + part[field], 0);
    const sizes = parts.flatMap((part) => part.sizes).sort((a, b) => a - b);
    say({
      phase,
      settled: parts.every((part) => part.settled),
      n_created: sum('n_created'),
      created_bytes: sum('created_bytes'),
      n_live: sizes.length,
      live_bytes: sizes.reduce((total, size) => total + size, 0),
      sizes,
    });
  }
  await next();
  process.exit(0);
}

if (isMainThread) {
  await main();
} else {
  const thread = new Thread(workerData.index, workerData.seed, workerData.nOperations);
  parentPort.on('message', async (message) => {
    parentPort.postMessage(message === 'hello' ? 'hello' : await thread.run(message));
  });
}
