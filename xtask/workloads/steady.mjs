// A target at rest but for 1,000 new stores of 64 KiB a second, each dead at once. It prints READY, and
// begins with a line on stdin.

import { createInterface } from 'node:readline';

const SIZE = 65536;
const PERIOD_MS = 10;
const PER_PERIOD = 10;

let last = null;
function step() {
  for (let i = 0; i < PER_PERIOD; i += 1) {
    last = Buffer.allocUnsafeSlow(SIZE);
  }
}

const input = createInterface({ input: process.stdin });
input.once('line', () => setInterval(step, PERIOD_MS));
input.once('close', () => process.exit(last?.length === 0 ? 1 : 0));
console.log('READY');
