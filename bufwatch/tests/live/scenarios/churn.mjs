// Makes stores of 64 KiB as fast as it can for some seconds and keeps the last few, then prints how many
// it made and how many are alive.
//
// node --expose-gc churn.mjs SECONDS KEPT

import { next, say } from './protocol.mjs';
import { Settler } from './settle.mjs';

const SIZE = 65536;

// The clock is read once for so many stores.
const PER_LOOK = 256;

const [seconds, nKept] = process.argv.slice(2).map(Number);

say({ ready: true, size: SIZE });
await next();
const kept = new Array(nKept).fill(null);
let nCreated = 0;
const deadline = Date.now() + seconds * 1000;
while (Date.now() < deadline) {
  for (let i = 0; i < PER_LOOK; i += 1) {
    const buffer = Buffer.allocUnsafeSlow(SIZE);
    buffer[0] = 1;
    kept[nCreated % nKept] = buffer;
    nCreated += 1;
  }
}
const settler = new Settler();
settler.willDie({});
const settled = await settler.settle();
const nLive = kept.filter((buffer) => buffer !== null).length;
say({ settled, n_created: nCreated, created_bytes: nCreated * SIZE, n_live: nLive, live_bytes: nLive * SIZE });

await next();
process.exit(kept.length === nKept ? 0 : 1);
