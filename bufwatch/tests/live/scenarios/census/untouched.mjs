// Holds 2 GB of memory that nobody has written or read, in many blocks and in few: a census must leave it so.
//
// Words: `make`; see `truth.mjs`.

import { Truth, serve } from './truth.mjs';

const MB = 1_048_576;
const truth = new Truth();
const held = (globalThis.HELD = []);

function keep(name, buffer) {
  held.push(buffer);
  truth.note(name, buffer.buffer, [buffer]);
}

await serve(truth, {
  make() {
    keep('Buffer.alloc', Buffer.alloc(512 * MB));
    keep('Buffer.allocUnsafe', Buffer.allocUnsafe(513 * MB));
    for (let i = 0; i < 32; i += 1) {
      keep('Buffer.alloc', Buffer.alloc(16 * MB + truth.size()));
      keep('Buffer.allocUnsafe', Buffer.allocUnsafe(16 * MB + truth.size()));
    }
    // Written here and there, so that not all of a mapping is alike.
    const some = Buffer.allocUnsafe(30 * MB);
    for (let at = 0; at < some.length; at += 1_000_003) some[at] = 1;
    keep('written here and there', some);
    const memory = new WebAssembly.Memory({ initial: 512 });
    held.push(memory);
    truth.note('WebAssembly.Memory', memory.buffer, [], { kind: 'wasm' });
  },
});
