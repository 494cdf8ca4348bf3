// Knows when objects that were dropped are really gone, which needs --expose-gc: V8 collects when it
// likes, and frees array buffers some time after.

const DEADLINE_MS = 20_000;

// Collections after the last object died, so that the sweeper of array buffers has done its work too.
const EXTRA_GCS = 3;

export class Settler {
  constructor() {
    this.nExpected = 0;
    this.nDead = 0;
    this.registry = new FinalizationRegistry(() => {
      this.nDead += 1;
    });
  }

  // Remembers an object that is about to be dropped.
  willDie(object) {
    this.nExpected += 1;
    this.registry.register(object, undefined);
  }

  // Collects until all are dead; false if that takes too long.
  async settle() {
    const deadline = Date.now() + DEADLINE_MS;
    while (this.nDead < this.nExpected) {
      if (Date.now() > deadline) {
        return false;
      }
      await collect();
    }
    for (let i = 0; i < EXTRA_GCS; i += 1) {
      await collect();
    }
    return true;
  }
}

// Finalizers run as tasks after the collection, so the loop has to turn.
async function collect() {
  globalThis.gc();
  await new Promise((resolve) => setTimeout(resolve, 5));
}
