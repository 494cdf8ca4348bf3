// How a scenario talks with the test: it prints one JSON object a line, and takes one line of input a
// step. A scenario that is told nothing for two minutes ends, so that none is left behind.

import { createInterface } from 'node:readline';

const SILENCE_MS = 120_000;

const waiting = [];
const received = [];
let isClosed = false;
let silence = null;

const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  const resolve = waiting.shift();
  if (resolve) {
    resolve(line);
  } else {
    received.push(line);
  }
});
input.on('close', () => {
  isClosed = true;
  for (const resolve of waiting) {
    resolve(null);
  }
});

// The next line of input; ends the program when there is none.
export async function next() {
  clearTimeout(silence);
  silence = setTimeout(() => process.exit(3), SILENCE_MS);
  if (received.length > 0) {
    return received.shift();
  }
  const line = isClosed ? null : await new Promise((resolve) => waiting.push(resolve));
  if (line === null) {
    process.exit(0);
  }
  return line;
}

export function say(fact) {
  console.log(JSON.stringify(fact));
}

// For a program that ends by itself.
export function stopListening() {
  clearTimeout(silence);
  input.close();
  process.stdin.destroy();
}
