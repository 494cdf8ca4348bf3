// Memory that native code holds. Words: `handle fault N` gives an addon N Buffers that it keeps and JavaScript drops, `handle twin N` the
// same, and JavaScript keeps them, too; `blobs N` makes Blobs, `unblob` drops them; `gc` collects twice. Answers { can_hold }.

import { createRequire } from 'node:module';

import { next, say } from '../protocol.mjs';

const SIZE = 1_000_000;

const addon = process.env.BUFWATCH_ADDON
  ? createRequire(import.meta.url)(process.env.BUFWATCH_ADDON)
  : {};
globalThis.kept = [];
globalThis.blobs = [];

function handles(how, count) {
  for (let i = 0; i < count; i += 1) {
    const buffer = Buffer.alloc(SIZE, 1);
    addon.hold(buffer);
    if (how === 'twin') globalThis.kept.push(buffer);
  }
}

function collect() {
  globalThis.gc();
  globalThis.gc();
}

say({ ready: true });
for (;;) {
  const [word, ...more] = (await next()).split(' ');
  if (word === 'handle' && addon.hold) handles(more[0], Number(more[1]));
  if (word === 'blobs') {
    for (let i = 0; i < Number(more[0]); i += 1) {
      globalThis.blobs.push(new Blob([Buffer.alloc(SIZE, i)]));
    }
  }
  if (word === 'unblob') globalThis.blobs.length = 0;
  if (word === 'gc') collect();
  if (word === 'exit') process.exit(0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  say({ can_hold: addon.hold !== undefined });
}
