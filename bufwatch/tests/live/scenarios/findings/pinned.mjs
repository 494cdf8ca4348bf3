// Small views that keep large array buffers alive, and the same with copies. Words: `WAY fault` keeps views, `WAY twin` keeps what the
// finding of the fault says to keep instead, `WAY drop` keeps nothing; ways are the keys of `ways`. Answers { n_parents, bytes, n_views },
// of what the kept views pin: all of their array buffers, less what the views show.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { next, say } from '../protocol.mjs';

const SIZE = 1_000_000;
const N = 40;

const keepers = {
  fault: (view) => view,
  twin: (view) => Uint8Array.prototype.slice.call(view),
};

let kept;

function many(hold) {
  return (keeper) => {
    for (let i = 0; i < N; i += 1) {
      const view = Buffer.allocUnsafeSlow(SIZE + i).subarray(100, 116);
      if (keeper) hold(i, keeper(view));
    }
  };
}

class Session {
  constructor(id) {
    this.id = id;
  }
}

const map = new Map();
const list = [];
const dictionary = {};
const sessions = new Set();
const closures = [];
let header;

const ways = {
  map: many((i, view) => map.set(`key ${i}`, view)),
  array: many((i, view) => list.push(view)),
  object: many((i, view) => { dictionary[`id${i}`] = view; }),
  field: many((i, view) => sessions.add(new Session(view))),
  closure: many((i, view) => closures.push(() => view)),
  file(keeper) {
    const folder = mkdtempSync(join(tmpdir(), 'bufwatch-'));
    const name = join(folder, 'big');
    writeFileSync(name, Buffer.alloc(10 * SIZE, 1));
    const file = readFileSync(name);
    if (keeper) header = keeper(file.subarray(0, 16));
    rmSync(folder, { recursive: true });
  },
  // A protocol of frames, a length and a body, over TCP: the id at the start of each body is kept.
  async parser(keeper) {
    const frame = Buffer.alloc(64_000, 7);
    frame.writeUInt32BE(frame.length - 4);
    const nFrames = 600;
    let nParsed = 0;
    let isParsed;
    const parsed = new Promise((resolve) => (isParsed = resolve));
    const parse = (socket) => {
      let rest = Buffer.alloc(0);
      socket.on('data', (chunk) => {
        rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
        while (rest.length >= 4 && rest.length - 4 >= rest.readUInt32BE()) {
          const end = 4 + rest.readUInt32BE();
          const body = rest.subarray(4, end);
          if (keeper && body.length > 0) list.push(keeper(body.subarray(0, 16)));
          nParsed += 1;
          if (nParsed === nFrames) isParsed();
          // Its own, so that what is not parsed yet pins nothing.
          rest = Uint8Array.prototype.slice.call(rest, end);
        }
      });
    };
    const server = createServer(parse);
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const socket = connect(server.address().port, '127.0.0.1');
    for (let i = 0; i < nFrames; i += 1) {
      if (!socket.write(frame)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    await parsed;
    // Node may hold the last chunk of a socket itself: one that nothing is kept of.
    socket.end(Buffer.alloc(4));
    await new Promise((resolve) => socket.once('close', resolve));
    await new Promise((resolve) => server.close(resolve));
  },
};

globalThis.app = { map, list, dictionary, sessions, closures, header: () => header };

function truth() {
  const ofSessions = [...sessions].map((session) => session.id);
  const views = [
    ...map.values(), ...list, ...Object.values(dictionary), ...ofSessions,
    ...closures.map((closure) => closure()), ...(header ? [header] : []),
  ];
  const sizes = new Map(views.map((view) => [view.buffer, view.buffer.byteLength]));
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  const bytes = sum([...sizes.values()]) - sum(views.map((view) => view.byteLength));
  return { n_parents: sizes.size, bytes, n_views: views.length };
}

say({ ready: true });
for (;;) {
  const [way, how] = (await next()).split(' ');
  await ways[way]?.(keepers[how]);
  if (way === 'gc') globalThis.gc();
  if (way === 'exit') process.exit(0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  say(truth());
}
