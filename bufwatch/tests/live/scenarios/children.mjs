// Starts other programs and workers in every way there is, while another thread makes stores, and says how each of them ended. The same
// whether somebody watches or not. Words: `go` does all of it, `signals` says how often SIGUSR2 came, `code` what
// of the code in memory is changed.
//
// node --expose-gc children.mjs

import { exec, execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

import { next, say } from './protocol.mjs';

const N = 20;
const SIZE = 1048576;
const N_SIGNALS = 50;

function make() {
  return Array.from({ length: N }, () => Buffer.alloc(SIZE)).length;
}

// Not watched, but a copy of a process that is.
async function beForked() {
  const n = make();
  process.send(n);
  const [code] = await once(process, 'message');
  process.exit(code);
}

const CHURN = `
  const { parentPort } = require('node:worker_threads');
  let isOver = false;
  parentPort.on('message', () => (isOver = true));
  (function churn() {
    for (let i = 0; i < 20; i += 1) Buffer.allocUnsafeSlow(65536)[0] = 1;
    if (isOver) process.exit(0);
    setImmediate(churn);
  })();
`;

const addon = process.env.BUFWATCH_ADDON ? createRequire(import.meta.url)(process.env.BUFWATCH_ADDON) : null;

const ended = async (child) => (await once(child, 'exit')).slice(0, 2);
const worker = (code) => new Worker(code, { eval: true });

let nSignals = 0;

const ways = {
  'worker that exits': () => ended(worker('process.exit(3)')),
  'worker that throws': async () => {
    const thrower = worker('throw new Error("on purpose")');
    const [error] = await once(thrower, 'error');
    return error.message;
  },
  'worker that is terminated': async () => {
    const waiting = worker('setInterval(() => {}, 1e6)');
    await once(waiting, 'online');
    return waiting.terminate();
  },
  fork: async () => {
    const child = fork(fileURLToPath(import.meta.url));
    const [n] = await once(child, 'message');
    child.send(7);
    return [n, await ended(child)];
  },
  'spawn of a shell': () => ended(spawn('sh', ['-c', 'exit 4'])),
  'spawn of nothing': async () => (await once(spawn('/nowhere/at/all'), 'error'))[0].code,
  'spawn of Node': () => {
    const { status, signal } = spawnSync(process.execPath, ['-e', `Buffer.alloc(${SIZE}); process.exit(6)`]);
    return [status, signal];
  },
  'execFile with output': () => String(execFileSync('echo', ['said'])),
  'exec that is killed': async () => {
    const child = exec('kill -TERM $$');
    return ended(child);
  },
  'a killed child': async () => {
    const child = spawn('sleep', ['1000']);
    await once(child, 'spawn');
    child.kill('SIGKILL');
    return ended(child);
  },
  'own signals': async () => {
    for (let i = 0; i < N_SIGNALS; i += 1) {
      const before = nSignals;
      process.kill(process.pid, 'SIGUSR2');
      Buffer.allocUnsafeSlow(65536);
      while (nSignals === before) await new Promise((resolve) => setImmediate(resolve));
    }
    return nSignals;
  },
};

if (process.send) {
  await beForked();
} else {
  process.on('SIGUSR2', () => (nSignals += 1));
  say({ ready: true, pid: process.pid });
  for (;;) {
    const word = await next();
    const ends = {};
    if (word === 'go') {
      nSignals = 0;
      const churn = worker(CHURN);
      for (const [name, way] of Object.entries(ways)) {
        ends[name] = await way();
      }
      churn.postMessage('end');
      [ends.churn] = await once(churn, 'exit');
      ends['changed code of a copy'] = addon?.changedCode(true) ?? null;
    }
    // Bytes that are not the file's: only of this process, and only if there are breakpoints.
    const nChanged = word === 'code' ? (addon?.changedCode(false) ?? null) : 0;
    say({ ends, n_signals: nSignals, n_changed: nChanged });
  }
}
