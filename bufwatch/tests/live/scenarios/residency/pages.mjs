// Makes large stores and touches chosen parts of them. Each answer says of every store how large it is and how many bytes its written pages
// have; sizes are all different, so that the test knows the stores again.
//
// `make COUNT SIZE WAY`: stores of SIZE bytes and a page more each, by `alloc`, `unsafe`, `shared` or `resizable`
// `write FROM TO`: one byte of each page between two percentages, of every store
// `copy FROM TO`: the same pages, all bytes, by read(2) from a device
// `read`: one byte of each page; changes nothing
// `drop`: the stores die
//
// Each answer says also of every store between which moments it was first written to, in nanoseconds of the monotonic clock.

import { openSync, readSync } from 'node:fs';

import { next, say } from '../protocol.mjs';
import { Settler } from '../settle.mjs';

const PAGE = 4096;

const ways = {
  alloc: (size) => Buffer.alloc(size),
  unsafe: (size) => Buffer.allocUnsafeSlow(size),
  shared: (size) => Buffer.from(new SharedArrayBuffer(size)),
  resizable: (size) => Buffer.from(new ArrayBuffer(size, { maxByteLength: 2 * size })),
};

let stores = [];
const settler = new Settler();

function make(count, size, way) {
  for (let i = 0; i < count; i += 1) {
    const buffer = ways[way](size + stores.length * PAGE);
    stores.push({ buffer, written: new Uint8Array(Math.ceil(buffer.length / PAGE)) });
  }
}

function eachPage({ buffer }, from, to, visit) {
  const nPages = Math.ceil(buffer.length / PAGE);
  const end = Math.floor((nPages * to) / 100);
  for (let page = Math.floor((nPages * from) / 100); page < end; page += 1) {
    visit(page);
  }
}

function written(store, page, write) {
  if (store.first === undefined) {
    const began = Number(process.hrtime.bigint());
    write();
    store.first = [began, Number(process.hrtime.bigint())];
  } else {
    write();
  }
  store.written[page] = 1;
}

const device = openSync('/dev/zero', 'r');
let sum = 0;

const verbs = {
  make: (count, size, way) => make(Number(count), Number(size), way),
  write: (from, to) => {
    for (const store of stores) {
      eachPage(store, Number(from), Number(to), (page) => {
        written(store, page, () => {
          store.buffer[page * PAGE] = 1;
        });
      });
    }
  },
  copy: (from, to) => {
    for (const store of stores) {
      eachPage(store, Number(from), Number(to), (page) => {
        // Not to the end of the page: the bytes of a store begin 16 behind the start of one.
        const size = Math.min(64, store.buffer.length - page * PAGE);
        written(store, page, () => readSync(device, store.buffer, page * PAGE, size, null));
      });
    }
  },
  read: () => {
    for (const store of stores) {
      eachPage(store, 0, 100, (page) => {
        sum += store.buffer[page * PAGE];
      });
    }
  },
  drop: async () => {
    forget();
    await settler.settle();
  },
  usage: () => {},
};

// In a function of its own, or its frame would hold the last one.
function forget() {
  for (const store of stores) {
    settler.willDie(store.buffer.buffer);
  }
  stores = [];
}

function facts() {
  return stores.map(({ buffer, written, first }) => ({
    size: buffer.length,
    first,
    written: written.reduce((n, is) => n + is, 0) * PAGE,
  }));
}

say({ ready: true, pid: process.pid });
for (;;) {
  const [verb, ...args] = (await next()).split(' ');
  await verbs[verb](...args);
  say({ stores: facts(), sum });
}

