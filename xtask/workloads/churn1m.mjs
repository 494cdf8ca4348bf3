// Buffers of 1 MiB that die at once.

import { scaled, timed } from './timed.mjs';

timed(() => {
  const n = scaled(20_000);
  let sum = 0;
  for (let i = 0; i < n; i += 1) {
    const buffer = Buffer.alloc(1048576);
    buffer[i] = 1;
    sum += buffer[0];
  }
  return n + (sum < 0 ? 1 : 0);
});
