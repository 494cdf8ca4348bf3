// Holds array buffers of every kind whose bytes are all written, so that all of them are in memory: a census must read none of them.
//
// Words: `make`; see `truth.mjs`.

import { Truth, serve } from './truth.mjs';

const MB = 1_048_576;
const truth = new Truth();
const held = (globalThis.HELD = []);

function keep(name, buffer, more = {}) {
  const view = new Uint8Array(buffer);
  // No word of it is zero, and each looks like the size of a page.
  view.fill(4);
  held.push(view);
  truth.note(name, buffer, [view], more);
}

await serve(truth, {
  make() {
    for (let i = 0; i < 60; i += 1) keep('of malloc', Buffer.allocUnsafeSlow(truth.size()).buffer);
    keep('large', new ArrayBuffer(40 * MB));
    keep('shared', new SharedArrayBuffer(9 * MB), { kind: 'shared' });
    if (ArrayBuffer.prototype.resize) {
      const resizable = { maxByteLength: 64 * MB };
      keep('resizable', new ArrayBuffer(20 * MB, resizable), { is_resizable: true });
      keep('growable', new SharedArrayBuffer(21 * MB, resizable), { kind: 'shared', is_resizable: true });
    }
    const wasm = (name, descriptor) => {
      const memory = new WebAssembly.Memory(descriptor);
      held.push(memory);
      keep(name, memory.buffer, { kind: 'wasm' });
    };
    wasm('WebAssembly.Memory', { initial: 101 });
    wasm('with a maximum', { initial: 102, maximum: 200 });
    wasm('shared memory', { initial: 103, maximum: 200, shared: true });
  },
});
