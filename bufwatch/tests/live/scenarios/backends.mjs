// Makes stores, keeps them and lets them go: `alloc COUNT SIZE`, `free COUNT` of those that were made last, with as many collections as
// it takes until they are dead.

import { next, say } from './protocol.mjs';
import { Settler } from './settle.mjs';

const kept = [];
say({ ready: true, pid: process.pid });
for (;;) {
  const [verb, first, second] = (await next()).split(' ');
  if (verb === 'alloc') {
    for (let i = 0; i < Number(first); i += 1) {
      kept.push(Buffer.alloc(Number(second)));
    }
  }
  if (verb === 'free') {
    const settler = new Settler();
    kept.splice(-Number(first)).forEach((buffer) => settler.willDie(buffer));
    await settler.settle();
  }
  say({ n_live: kept.length, live_bytes: kept.reduce((sum, buffer) => sum + buffer.length, 0) });
}
