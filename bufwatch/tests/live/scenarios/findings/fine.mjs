// A program that is fine and has all that looks like something else: caches of whole files, codecs, typed arrays, WebAssembly and shared
// memory, pools in use. Words: `hold` makes all this, `load` serves requests from then on, with everything in flight that a server has.
// Answers { n_requests }.

import { createHash } from 'node:crypto';
import { createServer, request, Agent } from 'node:http';
import { gzip } from 'node:zlib';

import { next, say } from '../protocol.mjs';

const MB = 1_000_000;
const held = {};
globalThis.held = held;
let nRequests = 0;

class Codec {
  constructor(buffer) {
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
  }
}

// Grows by doubling and is cut to what was written.
class Writer {
  constructor() {
    this.buffer = Buffer.allocUnsafeSlow(4 * MB);
    this.length = 0;
  }
  write(count) {
    this.length += count;
  }
  done() {
    return this.buffer.subarray(0, this.length);
  }
}

function hold() {
  held.files = new Map(Array.from({ length: 10 }, (_, i) => [`f${i}`, Buffer.alloc(10 * MB, i)]));
  held.headers = new Map([...held.files].map(([name, file]) => [name, file.subarray(0, 16)]));
  held.codecs = Array.from({ length: 50 }, () => new Codec(new ArrayBuffer(100_000)));
  held.mesh = { points: new Float32Array(MB) };
  held.mesh.bytes = new Uint8Array(held.mesh.points.buffer);
  // The array buffer itself is held: its views say nothing about how much of it is used.
  held.arena = new ArrayBuffer(8 * MB);
  held.structs = [new Float64Array(held.arena, 0, 10), new Int32Array(held.arena, 80, 4)];
  held.memory = new WebAssembly.Memory({ initial: 64 });
  held.ofMemory = new Uint8Array(held.memory.buffer, 0, 16);
  held.shared = [new Int32Array(new SharedArrayBuffer(4 * MB), 0, 4)];
  held.writers = Array.from({ length: 10 }, () => {
    const writer = new Writer();
    writer.write(2.4 * MB);
    return writer.done();
  });
  held.small = Array.from({ length: 50_000 }, (_, i) => Buffer.from(`a small Buffer that lives, number ${i}`));
  const ring = new ArrayBuffer(64 * 200);
  held.ring = Array.from({ length: 200 }, (_, i) => new Uint8Array(ring, i * 64, 64));
  held.scratch = new Float64Array(1);
  held.scratchBytes = new Uint8Array(held.scratch.buffer);
  held.empty = new ArrayBuffer(5 * MB);
  held.weak = new WeakRef(Buffer.alloc(20 * MB, 1).subarray(0, 8));
}

async function serve() {
  const hashes = new Map();
  const server = createServer((incoming, response) => {
    const parts = [];
    incoming.on('data', (part) => parts.push(part));
    incoming.on('end', () => {
      const body = Buffer.concat(parts);
      hashes.set(body.length % 50, createHash('sha256').update(body).digest());
      gzip(body, (error, packed) => response.end(error ? '' : packed));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  const body = Buffer.alloc(200_000, 'some text, ');
  const again = () => {
    const length = (nRequests * 7_919) % body.length;
    nRequests += 1;
    const options = { port: server.address().port, method: 'POST', agent };
    const outgoing = request(options, (response) => {
      response.resume();
      response.on('end', again);
    });
    outgoing.end(body.subarray(0, length));
  };
  for (let i = 0; i < 60; i += 1) again();
}

say({ ready: true });
for (;;) {
  const word = await next();
  if (word === 'hold') hold();
  if (word === 'load') await serve();
  if (word === 'exit') process.exit(0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  say({ n_requests: nRequests });
}
