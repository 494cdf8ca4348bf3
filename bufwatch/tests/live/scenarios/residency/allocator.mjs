// What malloc keeps of memory that was freed, with glibc's own word for it (mallinfo2, malloc_trim).
//
// node --expose-gc allocator.mjs warm|cold [walled]
//
// `warm` frees one large buffer first, after which glibc no longer gives blocks of 1 MB a mapping of their own.
// `walled` keeps brk from growing, so that the main arena goes on in mappings; small native blocks use the first of them.
// Steps: `fill` makes 400 buffers and drops 360, `numbers` says what malloc has, `trim` gives free memory back, `busy N` starts N workers
// that never stop allocating, `band` says between which numbers the free bytes were since the last time.

import { randomFillSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { Worker, isMainThread } from 'node:worker_threads';
import { deflateSync, inflateSync } from 'node:zlib';

const MB = 1048576;
const N = 400;
const KEPT_EVERY = 10;

// Native blocks that have no mapping of their own, whatever the threshold.
const SMALL = 100000;
const N_SMALL = 60;

// Between two looks at malloc's numbers; asking takes all of its locks.
const LOOK_MS = 1;

// Blocks of a worker; without collections in between the free bytes go up and down by 100 MB.
const GC_EVERY = 24;

async function main() {
  const { next, say } = await import('../protocol.mjs');
  const { Settler } = await import('../settle.mjs');
  const addon = createRequire(import.meta.url)(process.env.BUFWATCH_ADDON);
  const settler = new Settler();
  const kept = [];

  function numbers() {
    const [free, fast, nMapped, mappedBytes] = addon.mallocInfo();
    return { rss: process.memoryUsage.rss(), free: free - fast, fast, n_mapped: nMapped, mapped_bytes: mappedBytes };
  }

  // All of them are alive before the first one is dropped.
  function makeAndDrop(n, size) {
    const all = Array.from({ length: n }, () => Buffer.alloc(size, 1));
    for (const [i, buffer] of all.entries()) {
      if (i % KEPT_EVERY === 1) {
        kept.push(buffer);
      } else {
        settler.willDie(buffer);
      }
    }
  }

  let band = null;
  function look() {
    const { free } = numbers();
    band = band ? [Math.min(band[0], free), Math.max(band[1], free), band[2] + 1] : [free, free, 1];
  }

  if (process.argv[2] === 'warm') {
    makeAndDrop(1, 31 * MB);
    await settler.settle();
  }
  // What arenas got from the kernel, but not by brk: threads need less than 1 MB.
  let elsewhere = 0;
  if (process.argv[3] === 'walled') {
    const inArenas = () => addon.mallocInfo()[4];
    const before = inArenas();
    if (!addon.wallBrk()) {
      throw new Error('the heap can still grow');
    }
    kept.push(...Array.from({ length: N_SMALL }, () => addon.externalBuffer(SMALL)));
    elsewhere = inArenas() - before;
  }
  say({ ready: true, pid: process.pid, elsewhere });
  for (;;) {
    const [verb, count] = (await next()).split(' ');
    switch (verb) {
      case 'fill': {
        makeAndDrop(N, MB);
        const settled = await settler.settle();
        say({ settled, array_buffers: process.memoryUsage().arrayBuffers });
        break;
      }
      case 'numbers':
        say(numbers());
        break;
      case 'trim': {
        const before = process.memoryUsage.rss();
        addon.mallocTrim();
        say({ before, after: process.memoryUsage.rss() });
        break;
      }
      case 'busy': {
        const workers = Array.from({ length: Number(count) }, () => new Worker(new URL(import.meta.url)));
        await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
        setInterval(look, LOOK_MS);
        say({ n: workers.length });
        break;
      }
      case 'band':
        look();
        say({ least: band[0], most: band[1], n: band[2] });
        band = null;
        break;
      default:
        process.exit(0);
    }
  }
}

// Native blocks of many sizes, made and freed by this thread and by the garbage collector's helpers.
async function work() {
  const { parentPort } = await import('node:worker_threads');
  const kept = [];
  for (let i = 0; ; i += 1) {
    const input = randomFillSync(Buffer.alloc(1000 + ((i * 7919) % 120000)));
    const packed = deflateSync(input, { level: 1, memLevel: 1 + (i % 9) });
    if (inflateSync(packed).length !== input.length) {
      throw new Error('zlib gives back something else');
    }
    kept[i % 16] = packed;
    if (i === 50) {
      parentPort.postMessage('busy');
    }
    if (i % GC_EVERY === 0) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

await (isMainThread ? main() : work());
