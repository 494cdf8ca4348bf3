// Lets its heap and its buffers grow in several ways, and answers each time with what `process.memoryUsage()` says in the main thread.
//
// `objects COUNT`, `arrays COUNT`, `buffer BYTES`, `string BYTES`, `worker`, `drop`, `usage`

import { Worker } from 'node:worker_threads';

import { next, say } from '../protocol.mjs';

let held = [];
const workers = [];

const verbs = {
  objects: (count) => {
    for (let i = 0; i < count; i += 1) {
      held.push({ i, text: `object ${i}` });
    }
  },
  // Each on a page of its own.
  arrays: (count) => {
    for (let i = 0; i < count; i += 1) {
      held.push(new Array(100_000).fill(i));
    }
  },
  buffer: (bytes) => held.push(Buffer.alloc(bytes, 1)),
  // Outside of the heap from about a megabyte on.
  string: (bytes) => held.push(Buffer.alloc(bytes, 'a').toString('latin1')),
  worker: async () => {
    const code = `const held = [];
      for (let i = 0; i < 300_000; i += 1) held.push({ i });
      held.push(Buffer.alloc(20_000_000, 1));
      require('node:worker_threads').parentPort.postMessage('made');
      setInterval(() => held.length, 1e6);`;
    const worker = new Worker(code, { eval: true });
    await new Promise((resolve) => worker.once('message', resolve));
    workers.push(worker);
  },
  drop: () => {
    held = [];
    globalThis.gc();
  },
  usage: () => {},
};

say({ ready: true, pid: process.pid });
for (;;) {
  const [verb, argument] = (await next()).split(' ');
  await verbs[verb](Number(argument));
  say(process.memoryUsage());
}
