// Makes and drops stores of 64 KiB all the time, as a busy service does, beside a few that it keeps by small views. Words: `leak COUNT`
// keeps so many more views of a megabyte each, `drop` lets them all go, `calm` ends the churn, settles and tells what is alive.
//
// node --expose-gc busy-leak.mjs

import { next, say } from './protocol.mjs';
import { Settler } from './settle.mjs';

const SIZE = 65536;
const PER_TURN = 64;
const PARENT = 1_000_000;

const sessions = new Map();
let isBusy = true;

function churn() {
  for (let i = 0; i < PER_TURN; i += 1) {
    Buffer.allocUnsafeSlow(SIZE)[0] = 1;
  }
  if (isBusy) setImmediate(churn);
}

say({ ready: true });
churn();
for (;;) {
  const [word, n] = (await next()).split(' ');
  if (word === 'leak') {
    for (let i = 0; i < Number(n); i += 1) {
      sessions.set(`key ${sessions.size}`, Buffer.allocUnsafeSlow(PARENT).subarray(100, 116));
    }
  } else if (word === 'drop') {
    sessions.clear();
  } else if (word === 'calm') {
    isBusy = false;
    const settler = new Settler();
    settler.willDie({});
    await settler.settle();
  }
  say({ n_live: sessions.size, live_bytes: sessions.size * PARENT });
}
