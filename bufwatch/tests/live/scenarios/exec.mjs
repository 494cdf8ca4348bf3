// Becomes another program: this same Node, running idle.mjs, under the same pid. Node can do that by
// itself from 22.15 on; the addon does it for the older ones.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

import { next, say } from './protocol.mjs';

const script = fileURLToPath(new URL('idle.mjs', import.meta.url));
const addon = process.env.BUFWATCH_ADDON ? createRequire(import.meta.url)(process.env.BUFWATCH_ADDON) : null;

const kept = [];
say({ ready: true, can_exec: Boolean(process.execve ?? addon) });
await next();
for (let i = 0; i < 3; i += 1) {
  kept.push(Buffer.alloc(1048576));
}
say({ n_live: kept.length });
await next();
if (process.execve) {
  process.execve(process.execPath, [process.execPath, script], process.env);
} else {
  addon.execute(process.execPath, script);
}
