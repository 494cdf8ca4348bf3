// A child process makes stores; they are not this process's.
//
// node fork.mjs COUNT SIZE

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const [count, size] = process.argv.slice(2).map(Number);

if (process.send) {
  const kept = Array.from({ length: count }, () => Buffer.alloc(size));
  process.on('disconnect', () => process.exit(kept.length === count ? 0 : 1));
  process.send(kept.length);
} else {
  const { next, say } = await import('./protocol.mjs');
  say({ ready: true });
  await next();
  const child = fork(fileURLToPath(import.meta.url), [String(count), String(size)]);
  const nForeign = await new Promise((resolve) => child.once('message', resolve));
  const own = Buffer.alloc(size + 4096);
  say({ n_foreign: nForeign, n_live: 1, live_bytes: own.length });
  await next();
  child.disconnect();
  process.exit(own.length > 0 ? 0 : 1);
}
