// Writes the files with the cells of each thread into a folder: copies of those in cells/, moved down by some
// lines so that no two threads agree on a line, and files that an editor would spoil: other line ends, a bundle
// of one line, JavaScript made from TypeScript with its source map. A program of its own, since bufwatch takes no
// source map that is younger than the program that it describes.
//
// node fixtures.mjs FOLDER

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BASE64_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

// What the bundle has besides the cells, so that its columns are large.
const N_FILLERS = 1200;

// In the worker each line is elsewhere, so that a line of the wrong thread is a wrong line.
const N_LEADING = { main: 0, worker: 17 };

const LINE_ENDS = { crlf: '\r\n', cr: '\r', 'line-separator': '\u2028', 'paragraph-separator': '\u2029' };

// Each line of TypeScript beside what a compiler makes from it; null is nothing.
const TYPED = [
  ['interface Size {', null],
  ['  readonly bytes: number;', null],
  ['}', null],
  ['', null],
  ['type Make<T> = (size: Size) => T;', null],
  ['', null],
  ['enum Kind { Plain, Shared }', 'var Kind; (function (Kind) { Kind[Kind["Plain"] = 0] = "Plain"; })(Kind || (Kind = {}));'],
  ['', null],
  ['class Maker<T extends Size> {', 'class Maker {'],
  ['  constructor(private readonly size: T, readonly kind: Kind = Kind.Plain) {}', '  constructor(size, kind = Kind.Plain) { this.size = size; this.kind = kind; }'],
  ['', null],
  ['  make(): ArrayBuffer {', '  make() {'],
  ['    const { bytes }: Size = this.size;', '    const { bytes } = this.size;'],
  ['', null],
  ['    return new ArrayBuffer(bytes as number);', '    return new ArrayBuffer(bytes);'],
  ['  }', '  }'],
  ['}', '}'],
  ['', null],
  ['async function makeLater(size: Size): Promise<ArrayBuffer> {', 'async function makeLater(size) {'],
  ['  await null;', '  await null;'],
  ['  return new ArrayBuffer(size.bytes!);', '  return new ArrayBuffer(size.bytes);'],
  ['}', '}'],
  ['', null],
  ['const viaClass: Make<ArrayBuffer> = (size: Size) =>', 'const viaClass = (size) =>'],
  ['  new Maker<Size>(size).make();', '  new Maker(size).make();'],
  ['', null],
  ['export const cells: Record<string, (bytes: number) => unknown> = {', 'exports.cells = {'],
  ['  class: (bytes: number) => viaClass({ bytes }),', '  class: (bytes) => viaClass({ bytes }),'],
  ['  async: (bytes: number) => makeLater({ bytes }),', '  async: (bytes) => makeLater({ bytes }),'],
  ['};', '};'],
];

// The source of the bundle, and what a minifier makes of each line.
const BUNDLED = [
  ['function allocate(size) {', 'function a(b){'],
  ['  return new ArrayBuffer(size);', 'return new ArrayBuffer(b)}'],
  ['}', ''],
  ['class Pool {', 'class c{'],
  ['  take(size) {', 'take(b){'],
  ['    const store = allocate(size);', 'const d=a(b);'],
  ['    return store;', 'return d}'],
  ['  }', ''],
  ['}', '}'],
  ['export const cells = {', 'exports.cells={'],
  ['  method: (size) => new Pool().take(size),', 'method:b=>(new c).take(b),'],
  ['  arrow: (size) => {', 'arrow:b=>{'],
  ['    let store = null;', 'let d=null;'],
  ['    [size].forEach((one) => { store = new ArrayBuffer(one); });', '[b].forEach(b=>{d=new ArrayBuffer(b)});'],
  ['    return store;', 'return d}'],
  ['};', '};'],
];

// Beside them, index.json has the paths of the files and the source maps by path.
function writeFixtures(folder, nLeading) {
  mkdirSync(folder, { recursive: true });
  const cells = new URL('./cells/', import.meta.url);
  const files = [];
  const maps = {};
  const write = (name, text) => {
    files.push(join(folder, name));
    writeFileSync(join(folder, name), text);
  };
  const leading = '// Not the line of the other threads.\n'.repeat(nLeading);

  for (const name of ['language.mjs', 'hot.mjs', 'made-code.cjs', 'two-byte.cjs', 'latin.cjs']) {
    write(name, leading + readFileSync(new URL(name, cells), 'utf8'));
  }
  const lines = (leading + readFileSync(new URL('lines.cjs', cells), 'utf8')).split('\n');
  for (const [name, end] of Object.entries(LINE_ENDS)) {
    write(`lines-${name}.cjs`, lines.join(end));
  }

  const typed = generate(TYPED, '\n', nLeading, 'typed.ts');
  const inline = Buffer.from(JSON.stringify(typed.map)).toString('base64');
  writeFileSync(join(folder, 'typed.ts'), TYPED.map(([source]) => `${source}\n`).join(''));
  write('typed-inline.cjs', `${typed.text}\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,${inline}\n`);
  write('typed-external.cjs', `${typed.text}\n//# sourceMappingURL=typed-external.cjs.map\n`);
  writeFileSync(join(folder, 'typed-external.cjs.map'), JSON.stringify(typed.map));

  const fillers = Array.from({ length: N_FILLERS + nLeading }, (_, i) => ['', `function f${i}(b){return b+${i}}`]);
  const bundled = generate([...fillers, ...BUNDLED], '', 0, '../src/pool.js');
  write('bundle.min.cjs', `${bundled.text}\n//# sourceMappingURL=bundle.min.cjs.map\n`);
  writeFileSync(join(folder, 'bundle.min.cjs.map'), JSON.stringify(bundled.map));

  for (const name of ['typed-inline.cjs', 'typed-external.cjs']) {
    maps[join(folder, name)] = typed.map;
  }
  maps[join(folder, 'bundle.min.cjs')] = bundled.map;
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ files, maps }));
}

// The generated text of rows, and a source map that has an entry for each word that both sides share.
function generate(rows, separator, nLeading, source) {
  const leading = `// Not the line of the other threads.${separator}`.repeat(nLeading);
  let text = '';
  const entries = [];
  let line = nLeading;
  let column = 0;
  for (const [sourceLine, [original, generated]] of rows.entries()) {
    if (generated === null) {
      continue;
    }
    let from = 0;
    for (const word of generated.matchAll(/\w+/g)) {
      const at = original.indexOf(word[0], from);
      if (at >= 0) {
        entries.push({ line, column: column + word.index, sourceLine, sourceColumn: at });
        from = at + word[0].length;
      }
    }
    text += generated + separator;
    if (separator === '\n') {
      line += 1;
    } else {
      column += generated.length;
    }
  }
  const map = { version: 3, sources: [source], names: [], mappings: encode(entries) };
  return { text: leading + text, map };
}

// Entries are in the order of lines and columns; all numbers but the line are differences.
function encode(entries) {
  let text = '';
  let line = 0;
  let before = { column: 0, sourceLine: 0, sourceColumn: 0 };
  let isFirst = true;
  for (const entry of entries) {
    if (entry.line > line) {
      text += ';'.repeat(entry.line - line);
      line = entry.line;
      before = { ...before, column: 0 };
      isFirst = true;
    }
    text += isFirst ? '' : ',';
    text += vlq(entry.column - before.column) + vlq(0);
    text += vlq(entry.sourceLine - before.sourceLine) + vlq(entry.sourceColumn - before.sourceColumn);
    before = entry;
    isFirst = false;
  }
  return text;
}

function vlq(number) {
  let rest = number < 0 ? -number * 2 + 1 : number * 2;
  let text = '';
  do {
    const digit = rest % 32;
    rest = Math.floor(rest / 32);
    text += BASE64_DIGITS[rest > 0 ? digit + 32 : digit];
  } while (rest > 0);
  return text;
}

for (const [thread, nLeading] of Object.entries(N_LEADING)) {
  writeFixtures(join(process.argv[2], thread), nLeading);
}
