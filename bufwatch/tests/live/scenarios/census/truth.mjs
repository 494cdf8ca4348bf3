// What a census must find of a scenario, noted by the scenario itself. Each store that is kept has a size of its own, so that one too
// many and one too few are told from what is right; what is dropped has one size.

import { next, say } from '../protocol.mjs';
import { load } from './load.mjs';

const FIRST_SIZE = 1_000_000;
export const DROPPED_SIZE = 3_000_000;

export class Truth {
  rows = [];
  #size = FIRST_SIZE;

  // One that no other store has.
  size() {
    this.#size += 8;
    return this.#size;
  }

  // The views must be all that are alive over the buffer.
  note(name, buffer, views, more = {}) {
    const ranges = views.map((view) => [view.byteOffset, view.byteLength]);
    const row = { name, size: buffer.byteLength, kind: 'own', ...cover(ranges), ...more };
    this.rows.push(row);
    return row;
  }

  // Makes a store that only `hold(view)` can keep; `more` is what else must be found of it.
  keep(name, hold, more = {}) {
    const parent = Buffer.allocUnsafeSlow(this.size());
    const view = parent.subarray(16, 32);
    this.note(name, parent.buffer, [view], more);
    return hold(view);
  }

  drop(count, hold = () => {}) {
    for (let i = 0; i < count; i += 1) {
      hold(Buffer.allocUnsafeSlow(DROPPED_SIZE).subarray(i, i + 16));
    }
  }
}

// How many ranges, their lengths' sum, and the bytes of their union.
export function cover(ranges) {
  let covered = 0;
  let end = 0;
  for (const [offset, length] of [...ranges].sort((a, b) => a[0] - b[0])) {
    covered += Math.max(0, offset + length - Math.max(offset, end));
    end = Math.max(end, offset + length);
  }
  const bytes = ranges.reduce((sum, [, length]) => sum + length, 0);
  return { n_views: ranges.length, views_bytes: bytes, covered_bytes: covered };
}

// Answers words with the truth: those of the scenario, `load` and `gc`.
export async function serve(truth, verbs) {
  say({ ready: true });
  for (;;) {
    const [verb, argument] = (await next()).split(' ');
    const more = (await verbs[verb]?.(argument)) ?? {};
    if (verb === 'load') load();
    if (verb === 'gc') globalThis.gc();
    if (verb === 'exit') process.exit(0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    say({ rows: truth.rows, ...more });
  }
}
