// A few array buffers, held in the ways that matter, in a heap as small as Node has one: what is recorded of it is kept in the repository.
// Nothing here may name a folder of the machine.
//
// Words: `hold`; see `truth.mjs`. `held` of a row is the end of the path to its holder.

import { setFlagsFromString } from 'node:v8';

import { Truth, serve } from './truth.mjs';

const truth = new Truth();
const held = (globalThis.HELD = {});
const path = (...steps) => ({ held: { path: steps } });

class Session {
  constructor(view) {
    this.view = view;
  }
}

const weak = new WeakMap();
const key = { name: 'live' };
Object.assign(held, { weak, key });

function pinned() {
  held.map = new Map();
  for (let i = 0; i < 40; i += 1) {
    truth.keep('Map', (view) => held.map.set(`key ${i}`, view), path('global HELD', 'Object', '.map (Map)', `["key ${i}"]`));
  }
  truth.keep('closure', (view) => { held.closure = () => view; }, path('variable view'));
  truth.keep('class field', (view) => { held.session = new Session(view); }, path('.session (Session)', '.view'));
  truth.keep('WeakMap', (view) => weak.set(key, view), path('.weak (WeakMap)', '[weak key]'));
}

function kinds() {
  held.shared = new SharedArrayBuffer(truth.size());
  held.ofShared = [new Uint8Array(held.shared, 0, 10), new DataView(held.shared, 100)];
  truth.note('SharedArrayBuffer', held.shared, held.ofShared, { kind: 'shared' });
  held.memory = new WebAssembly.Memory({ initial: 31 });
  held.ofMemory = new Uint8Array(held.memory.buffer, 0, 5);
  truth.note('WebAssembly.Memory', held.memory.buffer, [held.ofMemory], { kind: 'wasm' });
  const data = new ArrayBuffer(truth.size());
  held.typed = [new Float64Array(data, 16, 10), new Uint16Array(data, 16, 50)];
  truth.note('typed arrays', data, held.typed, { has_aliases: true });
  const moved = new ArrayBuffer(truth.size());
  held.stale = new Uint8Array(moved);
  held.moved = new Uint8Array(structuredClone(moved, { transfer: [moved] }), 0, 10);
  truth.note('moved', held.moved.buffer, [held.moved]);
}

// Code that is not needed again goes with the next collections, and bytecode is a fifth of the heap.
setFlagsFromString('--stress-flush-code');
for (let i = 0; i < 3; i += 1) globalThis.gc();
setFlagsFromString('--no-stress-flush-code');

await serve(truth, {
  hold() {
    pinned();
    kinds();
    truth.drop(10);
    // What is dropped and holds itself, or is held weakly.
    truth.drop(3, (view) => weak.set({ view }, view));
    truth.drop(3, (view) => { held.ref = new WeakRef(view); });
  },
});
