// Pools of the application. Words: `cut` makes a pool in one buffer large and cuts it by slice, `replace` does it right; `lend N` takes N
// buffers from a free list that makes more when it is empty, `back` gives them all back; `cache N` puts N whole buffers into a cache.
// Answers { idle, lent, cached }, in numbers of buffers.

import { next, say } from '../protocol.mjs';

const SIZE = 1_000_000;
const LARGE = 30_000_000;

let bufferPool = Buffer.allocUnsafeSlow(1_000);

class Lender {
  constructor() {
    this.idle = [];
    this.lent = [];
  }
  lend(count) {
    for (let i = 0; i < count; i += 1) this.lent.push({ buffer: this.idle.pop() ?? Buffer.alloc(SIZE, 1) });
  }
  back() {
    this.idle.push(...this.lent.splice(0).map((job) => job.buffer));
  }
}

const lender = new Lender();
const cache = new Map();
globalThis.app = { lender, cache, length: () => bufferPool.length };

const words = {
  cut: () => {
    bufferPool = Buffer.allocUnsafeSlow(LARGE);
    while (bufferPool.length > 50_000) bufferPool = bufferPool.slice(Math.ceil(bufferPool.length / 10));
  },
  replace: () => {
    bufferPool = Buffer.allocUnsafeSlow(LARGE);
    bufferPool = Buffer.allocUnsafeSlow(50_000);
  },
  lend: (count) => lender.lend(count),
  back: () => lender.back(),
  cache: (count) => {
    for (let i = 0; i < count; i += 1) cache.set(`file ${cache.size}`, Buffer.alloc(SIZE, 1));
  },
  gc: () => globalThis.gc(),
  exit: () => process.exit(0),
};

say({ ready: true });
for (;;) {
  const [word, count] = (await next()).split(' ');
  words[word](Number(count));
  await new Promise((resolve) => setTimeout(resolve, 20));
  say({ idle: lender.idle.length, lent: lender.lent.length, cached: cache.size });
}
