// Does nothing but what it is told: `alloc COUNT SIZE` makes stores and keeps them, `worker` starts an idle
// worker, `end` ends it, `exit CODE` ends the process.

import { Worker } from 'node:worker_threads';

import { next, say } from './protocol.mjs';

const kept = [];
let worker;
say({ ready: true, pid: process.pid });
for (;;) {
  const [verb, first, second] = (await next()).split(' ');
  if (verb === 'exit') {
    process.exit(Number(first));
  }
  if (verb === 'worker') {
    worker = new Worker('setInterval(() => {}, 1e6)', { eval: true });
    await new Promise((resolve) => worker.once('online', resolve));
  }
  if (verb === 'end') {
    await worker.terminate();
  }
  for (let i = 0; i < Number(first ?? 0); i += 1) {
    kept.push(Buffer.alloc(Number(second)));
  }
  say({ n_live: kept.length, live_bytes: kept.reduce((sum, buffer) => sum + buffer.length, 0) });
}
