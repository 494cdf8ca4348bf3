// What servers do with memory, step by step: HTTP with a framework from npm, compression, files. What it allocates
// it does not choose: libraries and Node do, and where JavaScript has no part in it there is none on the stack.
//
// BUFWATCH_EXPRESS is the folder with the node_modules of express; without it there is no step for HTTP.
// node --expose-gc workloads.mjs

import { once } from 'node:events';
import fs from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import zlib from 'node:zlib';

import { next, say } from '../protocol.mjs';

const BODY_BYTES = 512 * 1024;
const N_ROUNDS = 20;

const folder = fs.mkdtempSync(join(tmpdir(), 'bufwatch-workloads-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));

// Half of it compresses well, so that output is large and not as large as input.
const body = Buffer.alloc(BODY_BYTES, 'bufwatch ');
for (let i = 0; i < BODY_BYTES / 2; i += 1) {
  body[i] = (i * 2654435761) >>> 13;
}
const file = join(folder, 'body.bin');
fs.writeFileSync(file, body);

async function startServer() {
  const express = createRequire(join(process.env.BUFWATCH_EXPRESS, 'here.cjs'))('express');
  const app = express();
  const uploads = [];
  app.use('/files', express.static(folder));
  app.post('/raw', express.raw({ limit: '10mb' }), (req, res) => {
    uploads[0] = req.body;
    res.send(String(req.body.length));
  });
  app.post('/json', express.json({ limit: '10mb' }), (req, res) => {
    res.json({ length: req.body.text.length, copy: req.body.text });
  });
  app.get('/copy', (req, res) => {
    res.send(Buffer.concat([body, Buffer.from(req.path)]));
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function call(port, method, path, type, payload) {
  const sent = request({ host: '127.0.0.1', port, method, path, headers: { 'content-type': type } });
  sent.end(payload);
  const [response] = await once(sent, 'response');
  const chunks = [];
  for await (const chunk of response) {
    chunks.push(chunk);
  }
  const answer = Buffer.concat(chunks);
  if (response.statusCode !== 200) {
    throw new Error(`${method} ${path}: ${response.statusCode} ${answer}`);
  }
  return answer.length;
}

const steps = {
  async zlib() {
    const packed = zlib.gzipSync(body);
    let sum = zlib.gunzipSync(packed).length;
    sum += zlib.brotliDecompressSync(zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } })).length;
    sum += (await promisify(zlib.inflate)(await promisify(zlib.deflate)(body))).length;
    const unzip = zlib.createGunzip({ chunkSize: 128 * 1024 });
    unzip.end(packed);
    for await (const chunk of unzip) {
      sum += chunk.length;
    }
    return sum;
  },
  async files() {
    let sum = fs.readFileSync(file).length;
    sum += (await promisify(fs.readFile)(file)).length;
    sum += (await fs.promises.readFile(file)).length;
    for await (const chunk of fs.createReadStream(file, { highWaterMark: 128 * 1024 })) {
      sum += chunk.length;
    }
    const handle = await fs.promises.open(file);
    const { bytesRead } = await handle.read(Buffer.alloc(BODY_BYTES), 0, BODY_BYTES, 0);
    await handle.close();
    const copy = join(folder, 'copy.bin');
    await pipeline(fs.createReadStream(file, { highWaterMark: 256 * 1024 }), fs.createWriteStream(copy));
    return sum + bytesRead + fs.readFileSync(copy, 'utf8').length;
  },
};

if (process.env.BUFWATCH_EXPRESS) {
  const server = await startServer();
  const { port } = server.address();
  steps.express = async () => {
    const json = JSON.stringify({ text: 't'.repeat(BODY_BYTES) });
    let sum = await call(port, 'GET', '/files/body.bin', 'text/plain');
    sum += await call(port, 'POST', '/raw', 'application/octet-stream', body);
    sum += await call(port, 'POST', '/json', 'application/json', json);
    return sum + (await call(port, 'GET', '/copy', 'text/plain'));
  };
}

say({ ready: true, steps: Object.keys(steps) });
for (const [step, run] of Object.entries(steps)) {
  await next();
  let sum = 0;
  for (let i = 0; i < N_ROUNDS; i += 1) {
    sum += await run();
  }
  say({ step, bytes: sum });
}
await next();
process.exit(0);
