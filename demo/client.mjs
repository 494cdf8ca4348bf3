// Feeds the ingestion service: about ten chunks of 2 to 4 MiB of log lines a second, each of another
// session, until the given number of MiB was sent. Then it stays idle, so that the service does not
// eat the machine's memory.
//
// node client.mjs PORT MIB

import { Agent, request } from 'node:http';
import { randomBytes } from 'node:crypto';

const PERIOD_MS = 100;
const MIB = 1048576;

const port = Number(process.argv[2]);
const limit = Number(process.argv[3] ?? 3072) * MIB;
const agent = new Agent({ keepAlive: true, maxSockets: 4 });

const line = '2024-05-17T08:15:30.123Z INFO request handled path=/api/items status=200 ms=12\n';
const filler = Buffer.from(line.repeat(Math.ceil((4 * MIB) / line.length)));

function makeChunk() {
  const size = (2 + 2 * Math.random()) * MIB;
  const chunk = Buffer.from(filler.subarray(0, size));
  chunk.write(randomBytes(8).toString('hex'), 0, 'latin1');
  return chunk;
}

let sent = 0;

function feed() {
  if (sent >= limit) {
    clearInterval(timer);
    // Keeps the process, and with it the demo, as it is.
    setInterval(() => {}, 60_000);
    return;
  }
  const chunk = makeChunk();
  sent += chunk.length;
  const headers = { 'content-length': chunk.length };
  const post = request({ agent, host: '127.0.0.1', port, method: 'POST', headers }, (response) => {
    response.resume();
  });
  // The service is gone: so is the reason to run.
  post.on('error', () => process.exit(0));
  post.end(chunk);
}

const timer = setInterval(feed, PERIOD_MS);
