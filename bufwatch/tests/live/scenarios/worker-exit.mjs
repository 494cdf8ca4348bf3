// A worker makes stores and is ended while it holds them: first by itself, then by terminate().
//
// node worker-exit.mjs COUNT SIZE

import { Worker } from 'node:worker_threads';

import { next, say } from './protocol.mjs';

const [count, size] = process.argv.slice(2).map(Number);

const code = `
  const { parentPort } = require('node:worker_threads');
  const kept = Array.from({ length: ${count} }, () => Buffer.alloc(${size}));
  parentPort.on('message', () => process.exit(kept.length === ${count} ? 0 : 1));
  parentPort.postMessage('made');
`;

function once(worker, event) {
  return new Promise((resolve) => worker.once(event, resolve));
}

say({ ready: true });
for (const end of ['exit', 'terminate']) {
  await next();
  const worker = new Worker(code, { eval: true });
  await once(worker, 'message');
  say({ phase: `made before ${end}`, n_live: count, live_bytes: count * size });

  await next();
  const ended = once(worker, 'exit');
  if (end === 'exit') {
    worker.postMessage('end');
  } else {
    worker.terminate();
  }
  await ended;
  say({ phase: end, n_live: 0, live_bytes: 0 });
}
await next();
process.exit(0);
