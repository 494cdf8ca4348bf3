// A hundred thousand views of ten bytes of one Buffer of 50 MB, or as many copies.
//
// node --expose-gc seed.mjs views|copies,written|untouched. Words on stdin: `make` makes them, forgets the Buffer itself and collects garbage; `usage`
// says what process.memoryUsage() says. Each is answered by a line of JSON. It ends with stdin.

import { createInterface } from 'node:readline';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');
const [what, pages] = process.argv[2].split(',');
const kept = [];

function make() {
  const parent = Buffer.alloc(50_000_000);
  if (pages === 'written') {
    parent.fill(1);
  }
  for (let i = 0; i < 100_000; i += 1) {
    const view = parent.slice(0, 10);
    kept.push(what === 'views' ? view : Buffer.from(view));
  }
}

const input = createInterface({ input: process.stdin });
input.on('line', (word) => {
  if (word === 'make') {
    make();
    gc();
  }
  console.log(JSON.stringify({ ...process.memoryUsage(), n: kept.length }));
});
input.once('close', () => process.exit(0));
console.log('READY');
