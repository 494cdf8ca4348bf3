// Makes stores in every way in which JavaScript can come to be on the stack, and says for each what its stack is.
// The cells are in cells/, run on the main thread and in a worker, in phases of V8's compilers.
//
// FOLDER has what fixtures.mjs wrote.
// node --expose-gc truth.mjs tiers|maglev|plain|cassette FOLDER [CELL...]

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

import { Thread } from './thread.mjs';
import { MODES, setFlags } from './tiers.mjs';

function answer(worker, message) {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.postMessage(message);
  });
}

async function main() {
  const { next, say } = await import('../protocol.mjs');
  const [mode, folder, ...wanted] = process.argv.slice(2);
  const phases = MODES[mode];
  const index = (name) => JSON.parse(readFileSync(join(folder, name, 'index.json'), 'utf8'));
  if (mode !== 'cassette') {
    setFlags(phases[0]);
  }

  const worker = new Worker(new URL(import.meta.url), { workerData: { ...index('worker'), wanted } });
  const thread = new Thread('main', 0, 2);
  await Promise.all([thread.load(index('main'), wanted), answer(worker, 'hello')]);
  say({ ready: true, phases: phases.map(({ phase }) => phase) });
  for (const phase of phases) {
    await next();
    setFlags(phase);
    globalThis.gc();
    const parts = await Promise.all([thread.run(phase), answer(worker, phase)]);
    say({ phase: phase.phase, cells: parts.flat() });
  }
  await next();
  process.exit(0);
}

async function work() {
  const thread = new Thread('worker', 1, 2);
  // Backwards: equal ids of scripts are other files than on the main thread.
  const { files, maps, wanted } = workerData;
  const loaded = thread.load({ files: [...files].reverse(), maps }, wanted);
  parentPort.on('message', async (message) => {
    await loaded;
    parentPort.postMessage(message === 'hello' ? 'hello' : await thread.run(message));
  });
}

await (isMainThread ? main() : work());
