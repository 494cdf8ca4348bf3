// Does nothing but what it is told: `alloc COUNT SIZE` makes stores and keeps them, `exit CODE` ends.

import { next, say } from './protocol.mjs';

const kept = [];
say({ ready: true, pid: process.pid });
for (;;) {
  const [verb, first, second] = (await next()).split(' ');
  if (verb === 'exit') {
    process.exit(Number(first));
  }
  for (let i = 0; i < Number(first); i += 1) {
    kept.push(Buffer.alloc(Number(second)));
  }
  say({ n_live: kept.length, live_bytes: kept.reduce((sum, buffer) => sum + buffer.length, 0) });
}
