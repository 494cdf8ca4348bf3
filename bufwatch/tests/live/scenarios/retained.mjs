// Holds slices of array buffers in ways whose retained sizes are known to V8 as well: in a Map, in closures, in a linked list, by two
// holders at once, and with secrets in a WeakMap. Everything hangs on `H`, so that a heap snapshot and a census find the same objects.
//
// `make` makes all; `snapshot FILE` collects garbage and writes a heap snapshot; both answer {}.

import v8 from 'node:v8';

import { next, say } from './protocol.mjs';

const SLICE = 16;
let nextSize = 100_000;

function slice() {
  nextSize += 8;
  return Buffer.allocUnsafeSlow(nextSize).subarray(SLICE, 2 * SLICE);
}

function many(count, make) {
  return Array.from({ length: count }, (_, i) => make(i));
}

class Registry {
  constructor(count) {
    this.cache = new Map(many(count, (i) => [`key ${i}`, slice()]));
  }
}

function makeHolder() {
  const held = slice();
  return function oneOfMany() {
    return held;
  };
}

function makeLonely() {
  const [first, second, third] = many(3, slice);
  return function lonelyHolder(which) {
    return [first, second, third][which];
  };
}

class Item {
  constructor(next) {
    this.buf = slice();
    this.next = next;
  }
}

class Sharer {
  constructor(shared) {
    this.buffers = [...many(20, slice), ...shared];
  }
}

const secrets = new WeakMap();

class Session {
  constructor(id) {
    this.id = id;
    this.buf = slice();
    secrets.set(this, { id, secret: many(5, slice) });
  }
}

class Sessions {
  constructor(count) {
    this.byId = new Map(many(count, (id) => [id, new Session(id)]));
  }
}

function list(count) {
  let head = null;
  for (let i = 0; i < count; i += 1) {
    head = new Item(head);
  }
  return head;
}

function make() {
  const shared = many(10, slice);
  globalThis.H = {
    registry: new Registry(500),
    closures: many(200, makeHolder),
    lonely: makeLonely(),
    list: list(50),
    left: new Sharer(shared),
    right: new Sharer(shared),
    sessions: new Sessions(40),
  };
}

say({ ready: true });
for (;;) {
  const [verb, file] = (await next()).split(' ');
  if (verb === 'make') make();
  if (verb === 'snapshot') v8.writeHeapSnapshot(file);
  for (let i = 0; i < 3; i += 1) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  say({});
}
