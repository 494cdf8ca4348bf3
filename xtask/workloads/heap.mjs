// A heap of so many megabytes, nearly all of it small objects, with some hundred Buffers and views among them, and a loop that
// runs every millisecond, looks at some of the objects, and remembers the longest time between two of its turns.
//
// node heap.mjs MEGABYTES. Words on stdin: `reset` begins a new window of the loop; `gap` says its longest gap; `snapshot` writes
// a heap snapshot, deletes it, and says how long that took. Each is answered by a line of JSON. It ends with stdin.

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import v8 from 'node:v8';

const MEGABYTE = 1e6;
const N_PARENTS = 200;
const PARENT_SIZE = 100_000;
const VIEWS_PER_PARENT = 2;
const RECORDS_BETWEEN_LOOKS = 1_000;
const TURN_MS = 1;
const LOOKED_AT = 1_000;

const parents = Array.from({ length: N_PARENTS }, () => Buffer.allocUnsafeSlow(PARENT_SIZE));
const views = parents.flatMap((parent) =>
  Array.from({ length: VIEWS_PER_PARENT }, (_, i) => parent.subarray(i * 100, i * 100 + 16)),
);

// Six objects and 250 bytes, by and large.
function record(number) {
  return { number, name: `record ${number}`, tags: [number, number + 1], at: { x: number / 3, y: number } };
}

const records = [];
const wanted = Number(process.argv[2]) * MEGABYTE;
while (process.memoryUsage().heapUsed < wanted) {
  for (let i = 0; i < RECORDS_BETWEEN_LOOKS; i += 1) {
    records.push(record(records.length));
  }
}

let longest = 0;
let last = performance.now();
let sum = views.length;
let at = 0;

setInterval(() => {
  const now = performance.now();
  longest = Math.max(longest, now - last);
  last = now;
  const step = Math.max(1, Math.floor(records.length / 7_919));
  for (let i = 0; i < Math.min(LOOKED_AT, records.length); i += 1) {
    at = (at + step) % records.length;
    sum = (sum + records[at].at.y) % 1_000_003;
  }
}, TURN_MS);

function snapshot() {
  const path = join(tmpdir(), `bufwatch-bench-${process.pid}.heapsnapshot`);
  const start = performance.now();
  v8.writeHeapSnapshot(path);
  const seconds = (performance.now() - start) / 1e3;
  rmSync(path);
  return seconds;
}

const input = createInterface({ input: process.stdin });
input.on('line', (word) => {
  const answer = {};
  if (word === 'reset') {
    longest = 0;
    last = performance.now();
  } else if (word === 'gap') {
    answer.gap_ms = longest;
  } else if (word === 'snapshot') {
    answer.seconds = snapshot();
  }
  console.log(JSON.stringify(answer));
});
input.once('close', () => process.exit(sum < 0 ? 1 : 0));
console.log('READY');
