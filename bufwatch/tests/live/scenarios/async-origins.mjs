// Lines that begin something whose memory is made later, by Node itself: each says where it is and how much came of it.
// All of them run at the same time, on the main thread and in a worker, and some begin others in their callbacks.
//
// node async-origins.mjs

import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { MessageChannel, Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import zlib from 'node:zlib';

import { next, say } from './protocol.mjs';

const N_ROUNDS = 4;
const MIB = 1 << 20;

// Of no two lines the same, so that what is mixed up shows.
const SIZES = {
  readOne: 301_000,
  readTwo: 402_000,
  readNested: 903_000,
  readPromised: 604_000,
  readHandle: 705_000,
  readBehindGate: 206_000,
  streamed: 907_000,
};

// Nothing that compresses: a multiple of 4 bytes of xorshift.
function noise(size) {
  const words = new Uint32Array(size / 4);
  let word = 1;
  for (let i = 0; i < words.length; i += 1) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    words[i] = word;
  }
  return Buffer.from(words.buffer);
}

// Where the caller is.
function here() {
  const [, name, line] = /at (?:async )?(\S+) .*?:(\d+):\d+\)/.exec(new Error().stack.split('\n')[2]);
  return { function: name, line: Number(line) };
}

// Node 26 reads what is not larger by one job, which makes the store as well.
const ONE_JOB_MAX = Number.parseInt(process.versions.node, 10) >= 26 ? 512 * 1024 : 0;

// How the reading of a file is named.
const reading = (api, size) => (size <= ONE_JOB_MAX ? 'readFile job (result)' : api);

const truth = new Map();

// `bytes` of memory named `via` were made because of the line `at`.
function came(at, via, bytes, isExact = true) {
  const key = `${at.function}:${at.line} ${via}`;
  const old = truth.get(key) ?? { ...at, via, bytes: 0, is_exact: isExact };
  truth.set(key, { ...old, bytes: old.bytes + bytes });
}

const held = [];

function onRead(data, begun) {
  const [at, copy] = [here(), Buffer.alloc(data.length + 1)];
  held.push(copy);
  came(begun, `${at.function}:${at.line}`, copy.length);
}

function readOne(folder) {
  const { promise, resolve } = withResolvers();
  const read = (done) => [here(), fs.readFile(join(folder, 'readOne'), done)];
  const [at] = read((error, data) => {
    onRead(data, at);
    // Begun in the callback of another one, by a line of its own.
    readNested(folder).then(resolve);
  });
  came(at, reading('fs.readFile (async)', SIZES.readOne), SIZES.readOne);
  return promise;
}

function readTwo(folder) {
  const { promise, resolve } = withResolvers();
  const [at] = [here(), fs.readFile(join(folder, 'readTwo'), resolve)];
  came(at, reading('fs.readFile (async)', SIZES.readTwo), SIZES.readTwo);
  return promise;
}

function readNested(folder) {
  const { promise, resolve } = withResolvers();
  const [at] = [here(), fs.readFile(join(folder, 'readNested'), resolve)];
  came(at, reading('fs.readFile (async)', SIZES.readNested), SIZES.readNested);
  return promise;
}

async function readPromised(folder) {
  const [at, read] = [here(), fs.promises.readFile(join(folder, 'readPromised'))];
  await read;
  came(at, 'fs.promises.readFile', SIZES.readPromised);
}

async function readHandle(folder) {
  const handle = await fs.promises.open(join(folder, 'readHandle'));
  const [at, read] = [here(), handle.readFile()];
  await read;
  await handle.close();
  came(at, 'fs.promises.readFile', SIZES.readHandle);
}

// Goes on in the turn of whatever opens the gate.
async function readBehindGate(folder, gate) {
  await gate;
  const [at, read] = [here(), fs.promises.readFile(join(folder, 'readBehindGate'))];
  await read;
  came(at, reading('fs.promises.readFile', SIZES.readBehindGate), SIZES.readBehindGate);
}

const CHUNK = 128 * 1024;

async function pack(gzip, at) {
  const packed = await gzip;
  came(at, 'zlib.* (callback)', packed.length);
  // The first one is made by the call itself, and one more for each that is full.
  came(at, 'zlib stream', Math.floor(packed.length / CHUNK) * CHUNK);
}

function packOne(data) {
  const [at, gzip] = [here(), promisify(zlib.gzip)(data, { chunkSize: CHUNK })];
  return pack(gzip, at);
}

function packTwo(data) {
  const [at, gzip] = [here(), promisify(zlib.deflate)(data, { chunkSize: CHUNK })];
  return pack(gzip, at);
}

const SOCKET = 'socket data (or pipe, libuv stream read)';

async function listenAll(work) {
  const server = net.createServer({ allowHalfOpen: true });
  const at = [here(), server.listen(0)][0];
  await once(server, 'listening');
  // What is asked for is in the first bytes: how much to send.
  server.on('connection', async (socket) => {
    let received = 0;
    let asked = 0;
    socket.on('data', (chunk) => {
      asked ||= chunk.readUInt32LE(0);
      received += chunk.length;
    });
    await once(socket, 'end');
    came(at, SOCKET, received, false);
    socket.end(Buffer.alloc(asked));
  });
  await work(server.address().port);
  server.close();
}

async function talk(socket, at, size, onData) {
  let received = 0;
  socket.on('data', (chunk) => {
    received += chunk.length;
    onData();
  });
  const asked = Buffer.alloc(MIB);
  asked.writeUInt32LE(size);
  socket.end(asked);
  await once(socket, 'close');
  came(at, SOCKET, received, false);
}

function dialOne(port, onData) {
  const [at, socket] = [here(), net.connect(port)];
  return talk(socket, at, 2 * MIB, onData);
}

function dialTwo(port, onData) {
  const [at, socket] = [here(), net.connect(port)];
  return talk(socket, at, 5 * MIB, onData);
}

async function listenHttp(work) {
  const server = http.createServer(async (incoming, outgoing) => {
    let received = 0;
    for await (const chunk of incoming) {
      received += chunk.length;
    }
    came(at, 'http data (libuv stream read)', received, false);
    outgoing.end(Buffer.alloc(received * 2));
  });
  const at = [here(), server.listen(0)][0];
  await once(server, 'listening');
  await work(server.address().port);
  server.close();
}

async function requestOne(port) {
  const options = { port, method: 'POST', agent: false };
  const [at, outgoing] = [here(), http.request(options)];
  outgoing.end(Buffer.alloc(MIB));
  const [incoming] = await once(outgoing, 'response');
  let received = 0;
  for await (const chunk of incoming) {
    received += chunk.length;
  }
  came(at, SOCKET, received, false);
  came(at, 'http client (response data)', received, false);
}

async function openPort() {
  const [at, { port1, port2 }] = [here(), new MessageChannel()];
  const message = once(port2, 'message');
  port1.postMessage(new ArrayBuffer(1_008_000));
  await message;
  port1.close();
  came(at, 'message received (MessagePort)', 1_008_000);
}

// A line of its own, and nothing that began it: timers are no resources.
function onTimer(done) {
  held.push(Buffer.alloc(1_109_000));
  done();
}

// What Node allocates for it is queued by whatever asks for more: nobody's for sure.
async function stream(folder) {
  const file = fs.createReadStream(join(folder, 'streamed'), { highWaterMark: 100 * 1024 });
  file.resume();
  await once(file, 'close');
}

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

async function round(folder, data, ports) {
  const gate = withResolvers();
  const streams = [];
  const openGate = () => gate.resolve();
  const startStream = () => {
    if (streams.length === 0) {
      streams.push(stream(folder));
    }
  };
  await Promise.all([
    dialOne(ports.net, openGate),
    dialTwo(ports.net, startStream),
    readOne(folder),
    readTwo(folder),
    readPromised(folder),
    readHandle(folder),
    readBehindGate(folder, gate.promise),
    packOne(data.subarray(0, 700_000)),
    packTwo(data),
    requestOne(ports.http),
    openPort(),
    new Promise((done) => setTimeout(onTimer, 5, done)),
  ]);
  await Promise.all(streams);
  // Addresses of resources are used again.
  held.length = 0;
  globalThis.gc();
}

async function rounds(folder) {
  const data = noise(1_200_000);
  await listenAll((netPort) =>
    listenHttp(async (httpPort) => {
      for (let i = 0; i < N_ROUNDS; i += 1) {
        await round(folder, data, { net: netPort, http: httpPort });
      }
    }),
  );
  return [...truth.values()];
}

if (isMainThread) {
  const folder = fs.mkdtempSync(join(tmpdir(), 'bufwatch-async-'));
  process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
  for (const [name, size] of Object.entries(SIZES)) {
    fs.writeFileSync(join(folder, name), Buffer.alloc(size));
  }
  const script = fileURLToPath(import.meta.url);
  const worker = new Worker(script, { workerData: folder });
  await once(worker, 'message');
  say({ ready: true, script });
  await next();
  worker.postMessage('go');
  const [[ofWorker], ofMain] = await Promise.all([once(worker, 'message'), rounds(folder)]);
  say({ begun: [...ofMain, ...ofWorker] });
  await next();
  process.exit(0);
} else {
  parentPort.on('message', async () => parentPort.postMessage(await rounds(workerData)));
  parentPort.postMessage('ready');
}
