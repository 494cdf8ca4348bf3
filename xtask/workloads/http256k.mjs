// An HTTP server that takes bodies of 256 KiB, collects each and answers with it. The client is a
// process of its own: its Buffers are not the target's.

import { fork } from 'node:child_process';
import { Agent, createServer, request } from 'node:http';

import { scaled, timed } from './timed.mjs';

const BODY_SIZE = 262144;
const CONNECTIONS = 4;

if (process.send) {
  serveAsClient();
} else {
  serve();
}

function serve() {
  const server = createServer((incoming, response) => {
    const parts = [];
    incoming.on('data', (part) => parts.push(part));
    incoming.on('end', () => response.end(Buffer.concat(parts)));
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    const client = fork(process.argv[1], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    client.once('message', () => {
      timed(
        () =>
          new Promise((resolve) => {
            client.once('message', (n) => resolve(n));
            client.send({ port, n: scaled(4_000) });
          }),
      );
    });
  });
}

function serveAsClient() {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async ({ port, n }) => {
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    const body = Buffer.alloc(BODY_SIZE, 'x');
    let started = 0;
    const one = async () => {
      while (started < n) {
        started += 1;
        await post(agent, port, body);
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, one));
    process.send(n);
  });
  process.send('ready');
}

function post(agent, port, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': body.length };
    const options = { agent, host: '127.0.0.1', port, method: 'POST', headers };
    const outgoing = request(options, (response) => {
      response.resume();
      response.on('end', resolve);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
