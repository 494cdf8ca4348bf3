// Stores that are all in RAM, and a thread that maps and unmaps memory in a loop and remembers how long it had to wait for that at most.
//
// node resident.mjs COUNTxBYTES. Words on stdin: `make` makes the stores and writes to each page; `stall SECONDS` runs the loop for so
// long. Each is answered by a line of JSON. It ends with stdin. Node 22 or newer: older ones cannot free a store at once.

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';

// Above the largest threshold that malloc chooses by itself: always a mapping of its own.
const LOOP_BYTES = 64 << 20;
const PAUSE_MS = 0.5;

function stall(seconds) {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + 1e3 * seconds;
  let longest = 0;
  let n = 0;
  while (performance.now() < end) {
    const start = performance.now();
    const buffer = new ArrayBuffer(LOOP_BYTES);
    new Uint8Array(buffer)[0] = 1;
    buffer.transfer(0);
    longest = Math.max(longest, performance.now() - start);
    n += 1;
    Atomics.wait(pause, 0, 0, PAUSE_MS);
  }
  return { stall_ms: longest, n };
}

if (isMainThread) {
  const [count, bytes] = process.argv[2].split('x').map(Number);
  const kept = [];
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'online');
  const input = createInterface({ input: process.stdin });
  input.on('line', async (line) => {
    const [word, seconds] = line.split(' ');
    if (word === 'make') {
      while (kept.length < count) {
        kept.push(Buffer.allocUnsafeSlow(bytes).fill(1));
      }
      console.log(JSON.stringify({ n: kept.length }));
    } else if (word === 'stall') {
      worker.postMessage(Number(seconds));
      const [answer] = await once(worker, 'message');
      console.log(JSON.stringify(answer));
    }
  });
  input.once('close', () => process.exit(0));
  console.log('READY');
} else {
  parentPort.on('message', (seconds) => parentPort.postMessage(stall(seconds)));
}
