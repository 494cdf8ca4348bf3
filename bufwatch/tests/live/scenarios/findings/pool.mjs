// Small Buffers from Node's pool, of which few live long. Words: `fault` keeps one of many, `twin` gives that one memory of its own, `all`
// keeps all, so that slabs are used up, `drop` keeps none. Answers { slab, n_slabs, n_kept }.

import { next, say } from '../protocol.mjs';

const LENGTH = 100;
const N_SLABS = 400;

const slab = Buffer.from('x').buffer.byteLength;
const everyNth = Math.floor(slab / LENGTH / 2);
globalThis.kept = [];

function make(keep) {
  for (let i = 0; i < N_SLABS * everyNth * 2; i += 1) {
    const small = Buffer.from('x'.repeat(LENGTH));
    const kept = keep(small, i);
    if (kept) globalThis.kept.push(kept);
  }
}

const words = {
  fault: () => make((small, i) => i % everyNth === 0 && small),
  twin: () => make((small, i) => i % everyNth === 0 && Uint8Array.prototype.slice.call(small)),
  all: () => make((small) => small),
  drop: () => make(() => undefined),
  gc: () => globalThis.gc(),
  exit: () => process.exit(0),
};

// A function of its own: the loop below is suspended, and would hold the slabs themselves.
function truth() {
  const slabs = new Set(globalThis.kept.map((small) => small.buffer));
  return { slab, n_slabs: slabs.size, n_kept: globalThis.kept.length };
}

say({ ready: true });
for (;;) {
  words[await next()]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  say(truth());
}
