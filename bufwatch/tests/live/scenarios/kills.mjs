// Keeps stores whose sizes no other has, beside a churn of those that are dropped at once, and says when it made which. Answers `wait N`
// when so many more are kept, `truth` with all of them, and `drop` when it has let them go.
//
// node kills.mjs

import { next, say } from './protocol.mjs';

const SIZE = 65552;
const STEP = 16;
const PER_TICK = 2;
const CHURN = 30;

let kept = [];
let made = [];
let nMade = 0;
let wanted = Infinity;

function tick() {
  for (let i = 0; i < PER_TICK; i += 1) {
    const size = SIZE + STEP * (nMade % 4_000);
    nMade += 1;
    kept.push(Buffer.allocUnsafeSlow(size));
    made.push([size, Number(process.hrtime.bigint())]);
  }
  for (let i = 0; i < CHURN; i += 1) {
    Buffer.allocUnsafeSlow(65536)[0] = 1;
  }
  if (nMade >= wanted) {
    wanted = Infinity;
    say({ n_made: nMade });
  }
}

say({ ready: true });
setInterval(tick, 5);
for (;;) {
  const [word, n] = (await next()).split(' ');
  if (word === 'wait') {
    wanted = nMade + Number(n);
  } else if (word === 'truth') {
    say({ made, now: Number(process.hrtime.bigint()) });
  } else {
    const nKept = kept.length;
    kept = [];
    made = [];
    say({ n_dropped: nKept });
  }
}
