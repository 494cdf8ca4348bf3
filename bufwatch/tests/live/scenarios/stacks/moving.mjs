// Functions that are called for the first time, each makes one store, while each collection moves everything: whoever wants to know
// what they are has milliseconds, or has to know where they went.
//
// node --expose-gc moving.mjs

import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';

import { next, say } from '../protocol.mjs';

const SCRIPT = 'moving.js';
const SIZE = 70_000;
const N = 900;
const PER_COLLECTION = 8;
const LINES_EACH = 4;

// Each function on lines of its own; the store is on the second of them.
const texts = Array.from({ length: N }, (_, i) => `function f${i}(size) {\n  const store = new ArrayBuffer(size);\n  return store;\n}\n`);
const list = texts.map((_, i) => `f${i}`).join(',');
const functions = runInThisContext(`${texts.join('')}[${list}];`, { filename: SCRIPT });
// Compiled beforehand, as in a program that runs.
functions.forEach((f) => f(8));

setFlagsFromString('--compact-on-every-full-gc');
say({ ready: true });
await next();
for (let i = 0; i < N; i += PER_COLLECTION) {
  functions.slice(i, i + PER_COLLECTION).forEach((f) => f(SIZE));
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 2));
}
setFlagsFromString('--no-compact-on-every-full-gc');
say({ script: SCRIPT, n: N, lines: Object.fromEntries(texts.map((_, i) => [`f${i}`, i * LINES_EACH + 2])) });
await next();
