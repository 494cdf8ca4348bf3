// Holds array buffers of every kind, and views over them of every kind.
//
// Words: `kinds`, `pools`, `workers N`, `gc`, `load`; see `truth.mjs`.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import v8 from 'node:v8';
import { MessageChannel, Worker } from 'node:worker_threads';

import { Truth, cover, serve } from './truth.mjs';

const require = createRequire(import.meta.url);
const truth = new Truth();
const held = (globalThis.HELD = {});

// What is made in a function that has returned is held by nothing but what it kept.
const kinds = {
  plain() {
    held.plain = new ArrayBuffer(truth.size());
    truth.note('no view', held.plain, []);
    held.slow = Buffer.allocUnsafeSlow(truth.size()).subarray(100, 200);
    truth.note('allocUnsafeSlow', held.slow.buffer, [held.slow]);
    held.inHeap = new Uint8Array(16);
  },

  fromArrayBuffer() {
    const data = new ArrayBuffer(truth.size());
    held.shares = [Buffer.from(data), Buffer.from(data, 8, 100)];
    truth.note('Buffer.from(arrayBuffer)', data, held.shares, { has_aliases: false });
  },

  fromBuffer() {
    held.copy = Buffer.from(Buffer.allocUnsafeSlow(truth.size()));
    truth.note('Buffer.from(buffer)', held.copy.buffer, [held.copy]);
    held.sliced = new Uint8Array(Buffer.allocUnsafeSlow(300_000 + truth.size()).subarray(8));
    truth.note('a copy as Uint8Array', held.sliced.buffer, [held.sliced]);
  },

  typed() {
    const data = new ArrayBuffer(truth.size());
    held.typed = [
      new DataView(data, 8, 100),
      new Float64Array(data, 16, 10),
      new Uint16Array(data, 16, 50),
      new BigInt64Array(data, 1_024),
    ];
    truth.note('typed arrays', data, held.typed, { has_overlaps: true, has_aliases: true });
  },

  ring() {
    const data = new ArrayBuffer(truth.size());
    held.ring = Array.from({ length: 200 }, (_, i) => new Uint8Array(data, i * 10, 64));
    truth.note('circular buffer', data, held.ring, { has_overlaps: true, has_aliases: false });
  },

  shared() {
    held.shared = new SharedArrayBuffer(truth.size());
    held.ofShared = [new Uint8Array(held.shared, 0, 10), new DataView(held.shared, 100)];
    truth.note('SharedArrayBuffer', held.shared, held.ofShared, { kind: 'shared', has_aliases: false });
  },

  resizable() {
    if (!ArrayBuffer.prototype.resize) return;
    const tracked = new ArrayBuffer(truth.size(), { maxByteLength: 8_000_000 });
    held.tracking = [new Uint8Array(tracked, 1_000), new Uint8Array(tracked, 0, 50)];
    tracked.resize(truth.size());
    truth.note('length-tracking', tracked, held.tracking, { is_resizable: true });

    const shrunk = new ArrayBuffer(7_000_000, { maxByteLength: 8_000_000 });
    held.shrunk = [new Uint8Array(shrunk, 6_000_000, 10), new DataView(shrunk, 10, 20)];
    shrunk.resize(truth.size());
    truth.note('out of bounds', shrunk, [held.shrunk[1]], { n_views: 2, is_resizable: true });

    const growable = new SharedArrayBuffer(truth.size(), { maxByteLength: 8_000_000 });
    held.growable = new Uint8Array(growable, 8);
    growable.grow(truth.size());
    truth.note('growable', growable, [held.growable], { kind: 'shared', is_resizable: true });
  },

  async detached() {
    const cloned = new ArrayBuffer(truth.size());
    held.stale = new Uint8Array(cloned);
    held.moved = new Uint8Array(structuredClone(cloned, { transfer: [cloned] }), 0, 10);
    truth.note('structuredClone', held.moved.buffer, [held.moved]);

    const { port1, port2 } = new MessageChannel();
    const sent = new ArrayBuffer(truth.size());
    held.staleSent = new DataView(sent);
    const received = new Promise((resolve) => port2.once('message', resolve));
    port1.postMessage(sent, [sent]);
    held.received = new Uint8Array(await received, 5);
    port1.close();
    truth.note('postMessage', held.received.buffer, [held.received]);

    if (ArrayBuffer.prototype.transfer) {
      const old = new ArrayBuffer(truth.size());
      held.transferred = old.transfer();
      truth.note('transfer', held.transferred, []);
    }
  },

  wasm() {
    const memory = new WebAssembly.Memory({ initial: 31 });
    held.memory = [memory, new Uint8Array(memory.buffer, 0, 5)];
    truth.note('WebAssembly.Memory', memory.buffer, [held.memory[1]], { kind: 'wasm' });

    const grown = new WebAssembly.Memory({ initial: 33, maximum: 100 });
    held.beforeGrowth = new Uint8Array(grown.buffer);
    grown.grow(1);
    held.grown = [grown, new Uint16Array(grown.buffer, 8, 5)];
    truth.note('grown', grown.buffer, [held.grown[1]], { kind: 'wasm' });

    const shared = new WebAssembly.Memory({ initial: 36, maximum: 100, shared: true });
    const before = new Uint8Array(shared.buffer, 0, 7);
    shared.grow(1);
    held.sharedMemory = [shared, before, new Uint8Array(shared.buffer, 100, 7)];
    truth.note('shared memory', shared.buffer, held.sharedMemory.slice(1), { kind: 'wasm' });
  },

  external() {
    const addon = process.env.BUFWATCH_ADDON;
    if (addon) {
      held.external = require(addon).externalBuffer(truth.size()).subarray(8, 16);
      truth.note('external', held.external.buffer, [held.external], { kind: 'external' });
    }
    held.serialized = v8.serialize(new Uint8Array(truth.size()));
    truth.note('v8.serialize', held.serialized.buffer, [held.serialized], { kind: 'external' });
  },

  async files() {
    const folder = mkdtempSync(join(tmpdir(), 'bufwatch-census-'));
    const file = (size) => {
      writeFileSync(join(folder, `${size}`), Buffer.alloc(size, 'x'));
      return join(folder, `${size}`);
    };
    held.header = readFileSync(file(truth.size())).subarray(0, 16);
    truth.note('readFileSync', held.header.buffer, [held.header]);
    // It reads into a larger buffer, whose size is its own business.
    held.read = (await readFile(file(500_000 + truth.size()))).subarray(0, 16);
    truth.note('readFile', held.read.buffer, [held.read]);
    rmSync(folder, { recursive: true });
    held.random = randomBytes(truth.size()).subarray(9);
    truth.note('randomBytes', held.random.buffer, [held.random]);
  },
};

// A slab that nothing but `kept` has views of: what is made here is made in one go.
function slab(poolSize) {
  Buffer.poolSize = poolSize;
  const fill = () => {
    const start = Buffer.allocUnsafe(8);
    for (;;) {
      const next = Buffer.allocUnsafe(8);
      if (next.buffer !== start.buffer) return next;
    }
  };
  const first = fill();
  const kept = [first];
  for (let i = 0; i < 20; i += 1) {
    const small = i % 2 === 0 ? Buffer.allocUnsafe(16 + i) : Buffer.from('x'.repeat(16 + i));
    if (i % 3 === 0) kept.push(small);
  }
  fill();
  if (kept.some((view) => view.buffer !== first.buffer)) throw new Error('the pool is not as thought');
  return kept;
}

function pools() {
  const before = Buffer.poolSize;
  const slabs = [];
  for (const poolSize of [8_192, 65_536]) {
    const kept = slab(poolSize);
    (held.pooled ??= []).push(kept);
    const ranges = kept.map((view) => [view.byteOffset, view.byteLength]);
    slabs.push({ size: kept[0].buffer.byteLength, views: ranges, ...cover(ranges) });
  }
  Buffer.poolSize = before;
  return { slabs };
}

// Views of all isolates over one store.
async function workers(count) {
  const shared = new SharedArrayBuffer(truth.size());
  held.workers = { shared, view: new Uint8Array(shared, 0, 100) };
  const ranges = [[0, 100]];
  for (let i = 0; i < count; i += 1) {
    const size = truth.size();
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      const own = Buffer.allocUnsafeSlow(${size}).subarray(0, 32);
      const view = new Uint8Array(workerData, ${50 + i * 100}, 100);
      for (let i = 0; i < 20; i += 1) Buffer.allocUnsafeSlow(3_000_000).subarray(0, 3);
      globalThis.kept = { own, view };
      parentPort.on('message', () => {});
      parentPort.postMessage('made');
    `;
    const worker = new Worker(code, { eval: true, workerData: shared });
    await new Promise((resolve) => worker.once('message', resolve));
    truth.rows.push({ name: `of worker ${i}`, size, kind: 'own', ...cover([[0, 32]]) });
    ranges.push([50 + i * 100, 100]);
  }
  truth.rows.push({
    name: 'of all isolates', size: shared.byteLength, kind: 'shared', ...cover(ranges), n_isolates: ranges.length,
  });
}

await serve(truth, {
  async kinds() {
    for (const make of Object.values(kinds)) {
      await make();
    }
    truth.drop(20);
  },
  pools,
  workers: (count) => workers(Number(count)),
});
