// Views over the same bytes. Words: `types fault` has one buffer as bytes in one place and as numbers in another, `types twin` a copy of
// it; `types codec` both in one object; `ring fault` slots that reach into the next ones, `ring twin` slots side by side. Answers {}.

import { next, say } from '../protocol.mjs';

const SIZE = 80_000;

class Mesh {
  constructor(points) {
    this.points = points;
  }
}

class Upload {
  constructor(bytes) {
    this.bytes = bytes;
  }
}

class Codec {
  constructor(buffer) {
    this.bytes = new Uint8Array(buffer);
    this.numbers = new Float64Array(buffer);
    this.view = new DataView(buffer);
  }
}

globalThis.app = { meshes: [], uploads: [], codecs: [], slots: [] };
const { meshes, uploads, codecs, slots } = globalThis.app;

function ring(step) {
  const buffer = new ArrayBuffer(SIZE);
  for (let i = 0; i < 200; i += 1) slots.push(new Uint8Array(buffer, i * step, 64));
}

const words = {
  'types fault': () => {
    const mesh = new Mesh(new Float64Array(SIZE / 8));
    meshes.push(mesh);
    uploads.push(new Upload(new Uint8Array(mesh.points.buffer)));
  },
  'types twin': () => {
    const mesh = new Mesh(new Float64Array(SIZE / 8));
    meshes.push(mesh);
    uploads.push(new Upload(new Uint8Array(mesh.points.buffer.slice(0))));
  },
  'types codec': () => codecs.push(new Codec(new ArrayBuffer(SIZE))),
  'ring fault': () => ring(40),
  'ring twin': () => ring(64),
  exit: () => process.exit(0),
};

say({ ready: true });
for (;;) {
  words[await next()]();
  await new Promise((resolve) => setTimeout(resolve, 20));
  say({});
}
