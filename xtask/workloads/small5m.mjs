// Five million small Buffers cut from the pool, which is what most programs do most of the time.

import { scaled, timed } from './timed.mjs';

timed(() => {
  const n = scaled(5_000_000);
  let sum = 0;
  for (let i = 0; i < n; i += 1) {
    sum += Buffer.from('session=0123456789abcdef').length;
  }
  return sum / 24;
});
