// Makes every kind of backing store there is, one kind a step, each with a size that no other has, and
// prints how many stores of that size came into being. Sizes are far above the chunks of streams and
// the pool slabs, so that `--min-size 131072` sees these stores and nothing else.
//
// A step that also copies inside Node says between how many stores it makes: that differs by version.
// With BUFWATCH_ADDON (a path) it also makes a Buffer over memory that V8 does not own.

import { createServer as createHttpServer, request } from 'node:http';
import { createConnection, createServer as createNetServer } from 'node:net';
import { createCipheriv, randomBytes } from 'node:crypto';
import { createReadStream, mkdtempSync, readFile, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile as readFilePromise } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Blob } from 'node:buffer';
import { gunzipSync, gzipSync } from 'node:zlib';
import { serialize } from 'node:v8';

import { next, say } from './protocol.mjs';
import { Settler } from './settle.mjs';

const MIB = 1048576;
const WASM_PAGE = 65536;

const folder = mkdtempSync(join(tmpdir(), 'bufwatch-every-kind-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const addon = process.env.BUFWATCH_ADDON ? createRequire(import.meta.url)(process.env.BUFWATCH_ADDON) : null;

let nSizes = 0;
// A multiple of 24, so that it suits every element type and base64.
function size() {
  nSizes += 1;
  return Math.floor((MIB + nSizes * 4096 + nSizes * 24) / 24) * 24;
}

function fileOf(bytes) {
  const path = join(folder, String(bytes));
  writeFileSync(path, 'f'.repeat(bytes));
  return path;
}

// What the steps read is made before the test attaches, so that it counts nowhere.
const sizes = {
  readFileSync: size(),
  readFile: size(),
  promises: size(),
  readStream: size(),
  gunzip: size(),
  base64: size(),
};
const files = {
  readFileSync: fileOf(sizes.readFileSync),
  readFile: fileOf(sizes.readFile),
  promises: fileOf(sizes.promises),
  readStream: fileOf(sizes.readStream),
};
const zipped = gzipSync(Buffer.alloc(sizes.gunzip, 'z'));
const base64 = 'QUJD'.repeat(sizes.base64 / 3);
const noise = randomBytes(size());
const source = Buffer.alloc(size(), 's');
const key = randomBytes(32);
const iv = randomBytes(16);
const worker = new Worker(
  `const { parentPort } = require('node:worker_threads');
   const held = [];
   parentPort.on('message', (message) => {
     if (message === 'drop') {
       held.length = 0;
       for (let i = 0; i < 5; i += 1) globalThis.gc();
       parentPort.postMessage('dropped');
     } else {
       held.push(message);
       parentPort.postMessage(message.byteLength);
     }
   });`,
  { eval: true },
);

function fromWorker() {
  return new Promise((resolve) => worker.once('message', resolve));
}

function collectStream(stream) {
  return new Promise((resolve, reject) => {
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    stream.on('error', reject);
    stream.on('end', () => resolve(Buffer.concat(parts)));
  });
}

function overNet(bytes) {
  return new Promise((resolve) => {
    const server = createNetServer((socket) => {
      collectStream(socket).then((body) => {
        socket.destroy();
        server.close(() => resolve(body));
      });
    });
    server.listen(0, '127.0.0.1', () => {
      createConnection(server.address().port, '127.0.0.1').end(Buffer.alloc(bytes, 'n'));
    });
  });
}

function overHttp(bytes) {
  return new Promise((resolve) => {
    let body = null;
    const server = createHttpServer(async (incoming, response) => {
      body = await collectStream(incoming);
      response.writeHead(200, { connection: 'close' }).end();
    });
    server.listen(0, '127.0.0.1', () => {
      const headers = { 'content-length': bytes };
      const options = { agent: false, host: '127.0.0.1', port: server.address().port, method: 'POST', headers };
      const post = request(options, (response) => {
        response.resume();
        response.on('end', () => server.close(() => resolve(body)));
      });
      post.end(Buffer.alloc(bytes, 'h'));
    });
  });
}

// Each step returns what it made and how often a store of that size was created: [object, size, n] or
// [object, size, n_min, n_max].
const steps = {
  'Buffer.alloc': (n = size()) => [Buffer.alloc(n), n, 1],
  'Buffer.allocUnsafe': (n = size()) => [Buffer.allocUnsafe(n), n, 1],
  'Buffer.allocUnsafeSlow': (n = size()) => [Buffer.allocUnsafeSlow(n), n, 1],
  'Buffer.from string': (n = size()) => [Buffer.from('x'.repeat(n)), n, 1],
  'Buffer.from base64': () => [Buffer.from(base64, 'base64'), sizes.base64, 1],
  'Buffer.from buffer': () => [Buffer.from(source), source.length, 1],
  'Buffer.concat': (n = size()) => [Buffer.concat([source.subarray(0, 1000)], n), n, 1],
  'Buffer.slice makes none': () => [source.slice(0, 200_000), 200_000, 0],
  ArrayBuffer: (n = size()) => [new ArrayBuffer(n), n, 1],
  'ArrayBuffer.slice': (n = source.length - 2400) => [source.buffer.slice(0, n), n, 1],
  Uint8Array: (n = size()) => [new Uint8Array(n), n, 1],
  Float64Array: (n = size()) => [new Float64Array(n / 8), n, 1],
  'Uint8Array from another': () => [new Uint8Array(source), source.length, 1],
  BigInt64Array: (n = size()) => [new BigInt64Array(n / 8), n, 1],
  SharedArrayBuffer: (n = size()) => [new SharedArrayBuffer(n), n, 1],
  'TextEncoder.encode': (n = size()) => [new TextEncoder().encode('t'.repeat(n)), n, 1],
  'structuredClone copy': (n = size()) => [structuredClone(new ArrayBuffer(n)), n, 2],
  'structuredClone transfer': (n = size()) => {
    const buffer = new ArrayBuffer(n);
    return [structuredClone(buffer, { transfer: [buffer] }), n, 1];
  },
  'postMessage transfer': async (n = size()) => {
    const buffer = new ArrayBuffer(n);
    const answer = fromWorker();
    worker.postMessage(buffer, [buffer]);
    await answer;
    return [null, n, 1];
  },
  'postMessage copy': async (n = size()) => {
    const answer = fromWorker();
    worker.postMessage(new ArrayBuffer(n));
    await answer;
    return [null, n, 2];
  },
  'postMessage shared': async (n = size()) => {
    const answer = fromWorker();
    const shared = new SharedArrayBuffer(n);
    worker.postMessage(shared);
    await answer;
    return [shared, n, 1];
  },
  Blob: async (n = size()) => [await new Blob([Buffer.alloc(n)]).arrayBuffer(), n, 2, 4],
  'fs.readFileSync': () => [readFileSync(files.readFileSync), sizes.readFileSync, 1],
  'fs.readFile': async () => [
    await new Promise((resolve) => readFile(files.readFile, (error, data) => resolve(data))),
    sizes.readFile,
    1,
  ],
  'fs.promises.readFile': async () => [await readFilePromise(files.promises), sizes.promises, 1, 2],
  'fs.createReadStream': async () => {
    const highWaterMark = sizes.readStream;
    // Read ahead for the end of the file, and joined at the end.
    return [await collectStream(createReadStream(files.readStream, { highWaterMark })), highWaterMark, 2, 3];
  },
  'zlib.gzipSync': () => {
    const packed = gzipSync(noise);
    return [packed, packed.length, 1];
  },
  'zlib.gunzipSync': () => [gunzipSync(zipped), sizes.gunzip, 1],
  'crypto.randomBytes': (n = size()) => [randomBytes(n), n, 1],
  'cipher.update': () => [createCipheriv('aes-256-ctr', key, iv).update(source), source.length, 1],
  'net body': async (n = size()) => [await overNet(n), n, 2],
  'http body': async (n = size()) => [await overHttp(n), n, 2],
  'v8.serialize': () => {
    const data = serialize(source);
    return [data, data.length, 1];
  },
  'WebAssembly.Memory': () => {
    const memory = new WebAssembly.Memory({ initial: 23, maximum: 64 });
    return [memory, memory.buffer.byteLength, 1];
  },
  'WebAssembly.Memory.grow': () => {
    const memory = held.get('WebAssembly.Memory');
    memory.grow(6);
    return [null, memory.buffer.byteLength, 0, 1];
  },
  'WebAssembly.Memory shared': () => {
    const memory = new WebAssembly.Memory({ initial: 37, maximum: 37, shared: true });
    return [memory, memory.buffer.byteLength, 1];
  },
};

if (typeof ArrayBuffer.prototype.resize === 'function') {
  steps['ArrayBuffer resizable'] = (n = size()) => [new ArrayBuffer(n, { maxByteLength: 4 * MIB }), n, 1];
  steps['ArrayBuffer.resize'] = () => {
    held.get('ArrayBuffer resizable').resize(3 * MIB);
    return [null, 3 * MIB, 0];
  };
}
if (typeof SharedArrayBuffer.prototype.grow === 'function') {
  steps['SharedArrayBuffer growable'] = (n = size()) => [new SharedArrayBuffer(n, { maxByteLength: 4 * MIB }), n, 1];
  steps['SharedArrayBuffer.grow'] = () => {
    held.get('SharedArrayBuffer growable').grow(3 * MIB + 4096);
    return [null, 3 * MIB + 4096, 0];
  };
}
if (typeof ArrayBuffer.prototype.transfer === 'function') {
  steps['ArrayBuffer.transfer'] = (n = size()) => [new ArrayBuffer(n).transfer(), n, 1];
}
if (addon) {
  steps['N-API external'] = (n = size()) => [addon.externalBuffer(n), n, 1];
}

// These stay to the end, since later steps change them; of the others every second one is dropped.
const ALWAYS_KEPT = ['WebAssembly.Memory', 'ArrayBuffer resizable', 'SharedArrayBuffer growable'];

// Its finalizer is part of the truth.
const ALWAYS_DROPPED = ['N-API external'];

const held = new Map();
const settler = new Settler();
let nKept = 0;
let keptBytes = 0;

function memoryOf(object) {
  return object instanceof WebAssembly.Memory ? object.buffer : (object.buffer ?? object);
}

function drop(name) {
  settler.willDie(memoryOf(held.get(name)));
  held.delete(name);
}

function dropHalf() {
  let isEven = false;
  for (const name of [...held.keys()]) {
    isEven = !isEven;
    const memory = memoryOf(held.get(name));
    if (memory === source.buffer) {
      // A view of what was there before the test attached: no store of its own.
      held.delete(name);
    } else if (ALWAYS_KEPT.includes(name) || (isEven && !ALWAYS_DROPPED.includes(name))) {
      nKept += 1;
      keptBytes += memory.byteLength;
    } else {
      drop(name);
    }
  }
}

// What of the preparations stays: the test may have seen it.
const before = [noise, source];
say({
  ready: true,
  steps: Object.keys(steps),
  n_before: before.length,
  bytes_before: before.reduce((sum, { length }) => sum + length, 0),
});
// In a function of its own, or the frame of this module would hold the last object.
async function run(name, step) {
  const [object, bytes, nMin, nMax = nMin] = await step();
  if (object !== null) {
    held.set(name, object);
  }
  say({ step: name, size: bytes, n_min: nMin, n_max: nMax });
}

for (const [name, step] of Object.entries(steps)) {
  await next();
  await run(name, step);
}

await next();
const nSmall = 1000;
const smallSize = 5000;
const small = Array.from({ length: nSmall }, () => Buffer.allocUnsafeSlow(smallSize));
say({ step: 'small', size: smallSize, n_min: small.length, n_max: small.length });

await next();
small.length = 0;
dropHalf();
const dropped = fromWorker();
worker.postMessage('drop');
await dropped;
const isSettled = await settler.settle();
say({ phase: 'dropped', settled: isSettled, n_live: nKept, live_bytes: keptBytes });

await next();
say({ phase: 'end', n_held: held.size, n_finalized: addon ? addon.finalized() : null });
process.exit(0);
