// Work that makes garbage in every way at once: tasks, microtasks, callbacks of native functions, natural collections, compilations.
// Array buffers that it makes have one size, and few of them are alive at any moment.

import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

const GARBAGE_SIZE = 200_000;
const N_TASKS = 4;

const garbage = (k) => Buffer.allocUnsafeSlow(GARBAGE_SIZE).subarray(k % 100, (k % 100) + 16);

// Native functions and JavaScript on the stack in turn.
const nested = (depth, then) => (depth === 0 ? then() : [depth].map(() => nested(depth - 1, then))[0]);

async function task(id) {
  let list = [];
  for (let n = 0; ; n += 1) {
    const waiting = garbage(n);
    await null;
    nested(id % 20, () => JSON.parse(JSON.stringify({
      toJSON: () => ({ n: garbage(n).length, list: Array.from({ length: 200 }, (_, k) => ({ k, text: `x${k}` })) }),
    })));
    Array.from({ length: 30 }, (_, k) => k).sort((a, b) => garbage(a).length * (b - a));
    'abcabc'.replace(/b/g, () => String(garbage(n).length));
    structuredClone({ list: new Map([[n, { n }]]), bytes: new Uint8Array(2_000) });
    deflateSync(Buffer.alloc(5_000));
    createHash('sha1').update(waiting).digest();
    new Function('a', `let s = ${n}; for (let i = 0; i < a; i += 1) s = (s * 31 + i) | 0; return s;`)(3_000);
    Promise.resolve(garbage(n)).then(() => garbage(n));
    list.push(new Array(100).fill(n));
    if (list.length > 5_000) list = [];
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function load() {
  for (let id = 0; id < N_TASKS; id += 1) task(id * 7);
}
