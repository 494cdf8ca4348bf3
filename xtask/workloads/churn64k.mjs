// Buffers of 64 KiB that die at once: the smallest that bufwatch follows one by one, so the most
// expensive thing that can be done to it.

import { scaled, timed } from './timed.mjs';

timed(() => {
  const n = scaled(200_000);
  let sum = 0;
  for (let i = 0; i < n; i += 1) {
    const buffer = Buffer.alloc(65536);
    buffer[i % 65536] = 1;
    sum += buffer[0];
  }
  return n + (sum < 0 ? 1 : 0);
});
