// A log ingestion service with a leak that many real services have: it remembers 16 bytes of each
// chunk of log lines, and with them, unknowingly, the whole chunk.
//
// Prints its port on stdout when it listens. With LOG_MEMORY=1 it prints its memory use each second.

import { createServer } from 'node:http';

const ID_LENGTH = 16;

class Ingest {
  constructor() {
    // Session id -> when it was last seen.
    this.cache = new Map();
    this.lines = 0;
  }

  onChunk(chunk) {
    // slice() copies nothing: these 16 bytes are a view, and the view keeps the megabytes alive.
    const sessionId = chunk.slice(0, ID_LENGTH);
    this.cache.set(sessionId, Date.now());
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) {
      this.lines += 1;
    }
  }
}

const ingest = new Ingest();

function readBody(request, done) {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => done(Buffer.concat(parts)));
}

const server = createServer((request, response) => {
  readBody(request, (chunk) => {
    ingest.onChunk(chunk);
    response.end(`${ingest.lines}\n`);
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(server.address().port);
});

if (process.env.LOG_MEMORY) {
  setInterval(() => {
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
    const mib = (bytes) => Math.round(bytes / 1048576);
    console.error(
      `sessions ${ingest.cache.size}, rss ${mib(rss)} MiB, heapUsed ${mib(heapUsed)} MiB, ` +
        `arrayBuffers ${mib(arrayBuffers)} MiB`,
    );
  }, 1000);
}
