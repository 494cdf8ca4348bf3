// Makes its RSS rise and fall for one reason at a time.
//
// `make COUNT SIZE`: stores that are not written; `write`: all of them, wholly; `fill COUNT SIZE`: stores that are written at once
// `drop NUMBER`: one of them dies, counted from 0; `dropall`; `thin STEP`: all but each STEP-th die
// `warm SIZE`: a store that dies at once, by which glibc learns to take blocks of that size from its heap
// `heap COUNT`: objects
// `gc`; `churn SIZE`: from now on stores are made and let go; `calm`: no more
// `shared COUNT SIZE`: SharedArrayBuffers, which are kept

import { next, say } from '../protocol.mjs';
import { Settler } from '../settle.mjs';

let stores = [];
const objects = [];
const shared = [];
let timer;
const settler = new Settler();

async function dropAllBut(isKept) {
  forgetAllBut(isKept);
  await settler.settle();
}

// In a function of its own, or its frame would hold the last one.
function forgetAllBut(isKept) {
  const all = stores;
  stores = all.filter((_, index) => isKept(index));
  all.forEach((store, index) => {
    if (!isKept(index)) {
      settler.willDie(store.buffer);
    }
  });
}

function make(count, size) {
  for (let i = 0; i < count; i += 1) {
    stores.push(Buffer.allocUnsafeSlow(size));
  }
}

const verbs = {
  make,
  write: () => {
    for (const store of stores) {
      store.fill(1);
    }
  },
  fill: (count, size) => {
    for (let i = 0; i < count; i += 1) {
      make(1, size);
      // At once: a store that is looked at before has its first write apart from its birth.
      stores.at(-1).fill(1);
    }
  },
  drop: (number) => dropAllBut((index) => index !== number),
  dropall: () => dropAllBut(() => false),
  thin: (step) => dropAllBut((index) => index % step === step - 1),
  warm: async (size) => {
    verbs.fill(1, size);
    const last = stores.length - 1;
    await dropAllBut((index) => index !== last);
  },
  gc: () => settler.settle(),
  churn: (size) => {
    timer = setInterval(() => {
      make(2, size);
      // They live long enough to be old when they die.
      stores.splice(0, stores.length - 100);
    }, 20);
  },
  calm: () => clearInterval(timer),
  shared: (count, size) => {
    for (let i = 0; i < count; i += 1) {
      shared.push(new SharedArrayBuffer(size));
    }
  },
  heap: (count) => {
    for (let i = 0; i < count; i += 1) {
      objects.push({ i, text: `object ${i}` });
    }
  },
};

say({ ready: true, pid: process.pid });
for (;;) {
  const [verb, ...args] = (await next()).split(' ');
  await verbs[verb](...args.map(Number));
  say({ n_stores: stores.length, bytes: stores.reduce((sum, store) => sum + store.length, 0), rss: process.memoryUsage.rss() });
}
