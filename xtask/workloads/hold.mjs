// Makes the given number of stores of 64 KiB and keeps them. They are not zeroed, so not resident: many
// are held at the price of their headers.

import { timed } from './timed.mjs';

const kept = [];

timed(() => {
  for (let i = 0; i < Number(process.argv[2]); i += 1) {
    kept.push(Buffer.allocUnsafeSlow(65536));
  }
  return kept.length;
});
