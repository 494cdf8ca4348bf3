// Packages from npm that hold more than their caller sees: a parser whose pool has grown for one large answer, an unpacker that gives views
// of its input; and what they do not hold in another version or with another option.
// BUFWATCH_PACKAGES is the folder with their node_modules.

import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { once } from 'node:events';
import { join } from 'node:path';

import { next, say } from './protocol.mjs';

const N_MESSAGES = 500;
const ID_BYTES = 16;
const BODY_BYTES = 100_000;
const N_LARGE = 3;
const LARGE_BYTES = 20_000_000;

const require = createRequire(join(process.env.BUFWATCH_PACKAGES, 'here.cjs'));
const sessions = new Map();
globalThis.sessions = sessions;

// A Redis that knows no commands but GET.
function answer(socket, command) {
  const [name, key] = command;
  if (name.toUpperCase() !== 'GET') return socket.write('+OK\r\n');
  const value = Buffer.alloc(key === 'large' ? LARGE_BYTES : ID_BYTES, 'x');
  return socket.write(Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]));
}

// Whole commands of one connection: `*2\r\n$3\r\nGET\r\n$2\r\nid\r\n`.
function commands(text) {
  const found = [];
  let rest = text;
  for (;;) {
    const count = /^\*(\d+)\r\n/.exec(rest);
    if (!count) return [found, rest];
    let at = count[0].length;
    const words = [];
    for (let i = 0; i < Number(count[1]); i += 1) {
      const length = /^\$(\d+)\r\n/.exec(rest.slice(at));
      const start = at + (length?.[0].length ?? 0);
      const end = start + Number(length?.[1] ?? 0);
      if (!length || rest.length < end + 2) return [found, rest];
      words.push(rest.slice(start, end));
      at = end + 2;
    }
    found.push(words);
    rest = rest.slice(at);
  }
}

async function redis(major) {
  const server = createServer((socket) => {
    let rest = '';
    socket.on('data', (chunk) => {
      const [found, left] = commands(rest + chunk.toString('latin1'));
      rest = left;
      socket.cork();
      for (const command of found) answer(socket, command);
      socket.uncork();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const Redis = require(`ioredis${major}`).Redis;
  const client = new Redis({ host: '127.0.0.1', port: server.address().port, enableReadyCheck: false });
  for (let i = 0; i < N_LARGE; i += 1) {
    const { length } = await client.getBuffer('large');
    if (length !== LARGE_BYTES) throw new Error(`${length} bytes of ${LARGE_BYTES}`);
  }
  return client;
}

function msgpackr(options) {
  const { Packr } = require('msgpackr');
  const packr = new Packr(options);
  for (let i = 0; i < N_MESSAGES; i += 1) {
    const packed = packr.pack({ id: Buffer.alloc(ID_BYTES, i), body: Buffer.alloc(BODY_BYTES, 'x') });
    // As it would come from a socket.
    const message = Buffer.allocUnsafeSlow(packed.length);
    packed.copy(message);
    sessions.set(i, packr.unpack(message).id);
  }
}

const verbs = {
  'ioredis 5': () => redis(5),
  'ioredis 6': () => redis(6),
  'msgpackr views': () => msgpackr({}),
  'msgpackr copies': () => msgpackr({ copyBuffers: true }),
};

say({ ready: true });
for (;;) {
  const verb = await next();
  await verbs[verb]();
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 20));
  say({ n_sessions: sessions.size });
}
