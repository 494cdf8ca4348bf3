// Runs the cells of one thread: has V8 say what the stack of each is, warms the cell up, makes the stores that are
// measured, and returns what there is to be seen. It serves the main thread and workers alike.

import { readFileSync } from 'node:fs';
import { SourceMap, createRequire } from 'node:module';
import { basename } from 'node:path';
import { pathToFileURL } from 'node:url';

import { optimize, tierOf } from './tiers.mjs';

// Above the pool slabs and the chunks of all versions, and different for every cell, thread and phase. Sizes grow
// with a square, so that those of two cells whose stores are mixed up have no third cell's as their mean.
const SIZE_MIN = 66_048;

// Makes a cell throw where it would allocate.
const IMPOSSIBLE = -1;

// Too small to be traced.
const SMALL = 16;

// How often each cell is measured in a phase.
const N_MEASURED = 3;

// The loop turns after so many calls, so that code compiled by other threads is put in place.
const PER_TURN = 200;

// Some milliseconds: longer than a compilation.
const N_TURNS = 200;

Error.stackTraceLimit = 200;

// The one place that calls cells: below it, stacks differ between truth and measurement.
function callCell(cell, size) {
  return cell.run(size);
}

export class Thread {
  constructor(name, index, nThreads) {
    this.name = name;
    this.index = index;
    this.nThreads = nThreads;
    this.nSizes = 0;
    this.held = [];
    this.cells = [];
    this.maps = new Map();
  }

  // The order of the files decides over the ids of scripts. All cells if none is named.
  async load({ files, maps }, wanted) {
    const require = createRequire(import.meta.url);
    for (const [path, payload] of Object.entries(maps)) {
      this.maps.set(path, new SourceMap(payload));
    }
    for (const file of files) {
      const exported = file.endsWith('.mjs') ? await import(pathToFileURL(file).href) : require(file);
      for (const [name, run] of Object.entries(exported.cells)) {
        const { nStores = 1, isLong = false, isNameComputed = false } = exported.facts?.[name] ?? {};
        const fullName = `${basename(file)}: ${name}`;
        if (wanted.length > 0 && !wanted.includes(fullName)) {
          continue;
        }
        this.cells.push({ name: fullName, run, nStores, isLong, isNameComputed, chain: null });
      }
    }
  }

  nextSize() {
    this.nSizes += 1;
    return SIZE_MIN + this.nSizes ** 2 * this.nThreads + this.index;
  }

  // What the phase before has made is alive until here, so that it is among what bufwatch prints.
  async run({ phase, nWarm, native }) {
    this.held.length = 0;
    const answers = [];
    for (const cell of this.cells) {
      cell.chain ??= await this.truth(cell);
      await warmUp(cell, cell.isLong ? Math.min(nWarm, 3) : nWarm);
      if (native) {
        await optimizeFully(cell, phase, native);
      }
      const size = this.nextSize();
      for (let i = 0; i < N_MEASURED; i += 1) {
        const made = callCell(cell, size);
        this.held.push(await made);
      }
      answers.push({
        name: `${this.name} ${phase} ${cell.name}`,
        size,
        n: N_MEASURED * cell.nStores,
        tier: tierOf(cell.run),
        chain: cell.chain,
      });
    }
    return answers;
  }

  // The frames of the program at the allocation, innermost first, as V8 itself tells them.
  async truth(cell) {
    const prepare = Error.prepareStackTrace;
    Error.prepareStackTrace = (error, sites) => sites.map(describe);
    try {
      await callCell(cell, IMPOSSIBLE);
    } catch (error) {
      if (!(error instanceof RangeError) || !Array.isArray(error.stack)) {
        throw new Error(`${cell.name} threw ${error}`);
      }
      return this.chain(cell, error.stack);
    } finally {
      Error.prepareStackTrace = prepare;
    }
    throw new Error(`${cell.name} has not thrown`);
  }

  chain(cell, frames) {
    const own = frames.filter((frame) => isOfProgram(frame));
    const end = own.findIndex((frame) => frame.function === callCell.name);
    const chain = end < 0 ? own : own.slice(0, end + 1);
    if (chain.length === 0) {
      throw new Error(`${cell.name} has no frames`);
    }
    for (const frame of chain) {
      frame.original = this.original(frame);
      delete frame.isAsync;
    }
    chain[0].is_name_computed = cell.isNameComputed;
    checkMarker(cell, chain[0]);
    return chain;
  }

  original(frame) {
    const map = this.maps.get(frame.script);
    const entry = map?.findEntry(frame.line - 1, frame.column - 1);
    return entry?.originalSource
      ? { script: entry.originalSource, line: entry.originalLine + 1, column: entry.originalColumn + 1 }
      : null;
  }
}

// What takes a turn of the loop is made side by side, or timers alone would take seconds.
async function warmUp(cell, nCalls) {
  for (let i = 0; i < nCalls; i += PER_TURN) {
    const made = [];
    for (let k = i; k < Math.min(i + PER_TURN, nCalls); k += 1) {
      made.push(callCell(cell, SMALL));
    }
    await Promise.all(made);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

// A compilation that another thread has begun is waited for: V8 does not take a second order meanwhile.
async function optimizeFully(cell, tier, native) {
  for (let i = 0; i < N_TURNS && tierOf(cell.run) !== tier; i += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (tierOf(cell.run) !== tier) {
    optimize(cell.run, native);
  }
}

function describe(site) {
  const index = /wasm-function\[(\d+)\]/.exec(String(site))?.[1];
  return {
    function: site.getFunctionName(),
    script: site.getFileName() ?? site.getScriptNameOrSourceURL() ?? null,
    line: site.getLineNumber(),
    column: site.getColumnNumber(),
    wasm: index === undefined ? null : Number(index),
    isAsync: site.isAsync?.() ?? false,
  };
}

// Neither a builtin (which has no place), nor Node's, nor a caller that only waits.
function isOfProgram({ script, line, isAsync }) {
  return line !== null && !isAsync && !script?.startsWith('node:');
}

// V8's answer is the truth; that it is the place that was meant is looked up in the text.
function checkMarker(cell, { script, line, column }) {
  const path = script?.startsWith('file:') ? new URL(script) : script;
  let text;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return; // Code that was no file.
  }
  const found = text.split(/\r\n|[\n\r\u2028\u2029]/)[line - 1]?.slice(column - 1);
  if (!/^new\s*(ArrayBuffer\(|$)/.test(found)) {
    throw new Error(`${cell.name} allocates at ${script}:${line}:${column}, which is \`${found}\``);
  }
}
