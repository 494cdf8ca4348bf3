// Holds array buffers in every way that JavaScript knows, drops others, and says which must be found: each one that is alive has a size
// of its own, so a census that finds one too many or one too few is told from one that is right.
//
// Words: `pinned N`, `copies N`, `slices N`, `holders`, `workers N`, `load`, `gc`; each answers with
// { parents: [[size, n_views, views_bytes], …] } of all that is alive so far.

import { createServer, connect } from 'node:net';
import { Worker } from 'node:worker_threads';

import { next, say } from './protocol.mjs';

const KEPT_SIZE = 1_000_000;
const DROPPED_SIZE = 3_000_000;

const truth = [];
let nextSize = KEPT_SIZE;

function store() {
  nextSize += 8;
  return Buffer.allocUnsafeSlow(nextSize);
}

function remember(buffer, views) {
  const bytes = views.reduce((sum, view) => sum + view.byteLength, 0);
  truth.push([buffer.byteLength, views.length, bytes]);
}

// Makes a store of its own size that only `hold(view)` can keep, and notes it.
function keep(hold, length = 16) {
  const parent = store();
  const view = parent.subarray(length, 2 * length);
  remember(parent.buffer, [view]);
  return hold(view);
}

function drop(count, hold = () => {}) {
  for (let i = 0; i < count; i += 1) {
    hold(Buffer.allocUnsafeSlow(DROPPED_SIZE).subarray(i, i + 16));
  }
}

class Registry {
  constructor() {
    this.cache = new Map();
  }
}

globalThis.H = { reg: new Registry() };

function pinned(count) {
  for (let i = 0; i < count; i += 1) {
    keep((view) => globalThis.H.reg.cache.set(`key ${i}`, view));
  }
  drop(count / 5);
}

function copies(count) {
  for (let i = 0; i < count; i += 1) {
    const copy = Buffer.allocUnsafeSlow(16);
    Buffer.allocUnsafeSlow(DROPPED_SIZE).subarray(0, 16).copy(copy);
    globalThis.H.reg.cache.set(`copy ${i}`, copy);
  }
}

function slices(count) {
  const parent = Buffer.allocUnsafeSlow(50_000_000);
  globalThis.slices = Array.from({ length: count }, (_, i) => parent.subarray(i * 16, i * 16 + 16));
  for (let i = 0; i < count / 2; i += 1) {
    parent.subarray(i, i + 7);
  }
  remember(parent.buffer, globalThis.slices);
}

class Private {
  #view;
  constructor(view) {
    this.#view = view;
  }
  has() {
    return this.#view !== undefined;
  }
}

function* generator(view) {
  yield 1;
  return view;
}

// Kept: what waits for a promise that nobody can resolve any more is garbage.
const never = new Promise(() => {});

async function waiting(view) {
  await never;
  return view;
}

const weak = new WeakMap();
const liveKey = { name: 'live key' };
const registry = new FinalizationRegistry(() => {});
let holders;

function holdEverywhere() {
  holders = {
    member: keep((view) => new Set([view])),
    key: keep((view) => new Map([[view, 1]])),
    element: keep((view) => [1, view]),
    sparse: keep((view) => Object.assign([], { 100_000_000: view })),
    symbol: keep((view) => ({ [Symbol('tag')]: view })),
    many: keep((view) => {
      const object = {};
      for (let i = 0; i < 2_000; i += 1) object[`p${i}`] = i;
      object.last = view;
      return object;
    }),
    accessor: keep((view) => ({ get view() { return view; } })),
    private: keep((view) => new Private(view)),
    closure: keep((view) => () => view),
    bound: keep((view) => function f() { return this; }.bind(view)),
    suspended: keep((view) => {
      const it = generator(view);
      it.next();
      return it;
    }),
    awaiting: keep((view) => waiting(view)),
    pending: keep((view) => never.then(() => view)),
    resolved: keep((view) => Promise.resolve(view)),
    proxy: keep((view) => new Proxy({ view }, {})),
    iterator: keep((view) => [view][Symbol.iterator]()),
    buffer: (() => {
      const buffer = new ArrayBuffer((nextSize += 8));
      truth.push([buffer.byteLength, 0, 0]);
      return buffer;
    })(),
  };
  keep((view) => setTimeout(() => {}, 1e8, view));
  keep((view) => weak.set(liveKey, view));
  keep((view) => registry.register(liveKey, view));
  // A key that dies with nothing but its own value, a target, a token: none of them keeps anything.
  drop(3, (view) => weak.set({ view }, view));
  drop(3, (view) => registry.register(view, 'held', view));
  drop(3, (view) => { holders.ref = new WeakRef(view); });

  const data = new ArrayBuffer((nextSize += 8));
  holders.views = [new DataView(data, 8, 100), new Float64Array(data, 16, 10), new Uint16Array(data, 16, 50)];
  remember(data, holders.views);

  const ring = new ArrayBuffer((nextSize += 8));
  holders.ring = Array.from({ length: 200 }, (_, i) => new Uint8Array(ring, i * 10, 64));
  remember(ring, holders.ring);

  if (ArrayBuffer.prototype.resize) {
    const resizable = new ArrayBuffer((nextSize += 8), { maxByteLength: 8_000_000 });
    holders.tracking = new Uint8Array(resizable, 1_000);
    resizable.resize((nextSize += 8));
    remember(resizable, [holders.tracking]);

    const growable = new SharedArrayBuffer((nextSize += 8), { maxByteLength: 8_000_000 });
    holders.growable = new Uint8Array(growable);
    growable.grow((nextSize += 8));
    remember(growable, [holders.growable]);
  }

  const detached = new ArrayBuffer(DROPPED_SIZE);
  holders.detached = new Uint8Array(detached);
  const moved = structuredClone(detached, { transfer: [detached] });
  holders.moved = new Uint8Array(moved, 0, 10);
  truth.push([DROPPED_SIZE, 1, 10]);

  const memory = new WebAssembly.Memory({ initial: 31 });
  holders.memory = memory;
  holders.ofMemory = new Uint8Array(memory.buffer, 0, 5);
  truth.push([31 * 65_536, 1, 5]);
}

// A reader that never reads: what was written waits in a request that native code holds.
async function holdNatively() {
  const server = createServer((socket) => socket.pause());
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect(server.address().port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const parent = Buffer.allocUnsafeSlow((nextSize += 8_000_000));
  nextSize -= 8_000_000;
  remember(parent.buffer, [parent]);
  socket.write(parent);
}

async function workers(count) {
  const shared = new SharedArrayBuffer((nextSize += 8));
  holders = { ...holders, shared, ofShared: new Uint8Array(shared, 0, 100) };
  const views = [holders.ofShared];
  for (let i = 0; i < count; i += 1) {
    nextSize += 8;
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      const own = Buffer.allocUnsafeSlow(${nextSize}).subarray(0, 32);
      const view = new Uint8Array(workerData, 0, 50);
      for (let i = 0; i < 20; i += 1) Buffer.allocUnsafeSlow(${DROPPED_SIZE}).subarray(0, 3);
      globalThis.kept = { own, view };
      parentPort.on('message', () => {});
      parentPort.postMessage('made');
    `;
    const worker = new Worker(code, { eval: true, workerData: shared });
    await new Promise((resolve) => worker.once('message', resolve));
    truth.push([nextSize, 1, 32]);
    views.push(new Uint8Array(50));
  }
  truth.push([shared.byteLength, views.length, views.reduce((sum, view) => sum + view.byteLength, 0)]);
}

// Garbage of one size, made in tasks, microtasks and by natural collections, at most a handful of it alive.
function load() {
  let n = 0;
  const turn = async () => {
    for (let i = 0; i < 20; i += 1) {
      const garbage = Buffer.allocUnsafeSlow(200_000).subarray(n % 100, n % 100 + 16);
      n += garbage.length;
      await null;
      JSON.parse(JSON.stringify({ n, list: Array.from({ length: 200 }, (_, k) => ({ k })) }));
    }
    setImmediate(turn);
  };
  turn();
}

say({ ready: true });
for (;;) {
  const [verb, count] = (await next()).split(' ');
  if (verb === 'pinned') pinned(Number(count));
  if (verb === 'copies') copies(Number(count));
  if (verb === 'slices') slices(Number(count));
  if (verb === 'holders') {
    holdEverywhere();
    await holdNatively();
  }
  if (verb === 'workers') await workers(Number(count));
  if (verb === 'load') load();
  if (verb === 'gc') globalThis.gc();
  if (verb === 'exit') process.exit(0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  say({ parents: truth });
}
