// Cells whose code was no file: eval, new Function, vm scripts, WebAssembly; and a function with more context
// variables than a scope keeps in a list. They know nothing of how they are measured.

'use strict';

const vm = require('node:vm');

const direct = `
  function inDirectEval(size) {
    return new ArrayBuffer(size);
  }
  inDirectEval(size);
`;

const indirect = `
  (function (size) {

    return new ArrayBuffer(size);
  })
`;

// Not the one that this file's eval can see, so it is compiled in the global scope.
const indirectEval = (0, eval)(indirect);

const named = (0, eval)('(function withSourceUrl(size) {\n  return new ArrayBuffer(size);\n})\n//# sourceURL=made-up.js');

const constructed = new Function('size', 'const one = size;\nreturn new ArrayBuffer(one);');

const asyncConstructed = new (async () => {}).constructor('size', 'await null;\nreturn new ArrayBuffer(size);');

// With the ArrayBuffer of here, so that its errors are those of here as well.
const context = vm.createContext({ ArrayBuffer });

const inContext = vm.runInContext('(function inContext(size) {\n  return new ArrayBuffer(size);\n})', context, {
  filename: '/made/up/in-context.js',
  lineOffset: 40,
});

const shifted = vm.runInThisContext('(function shifted(size) { return new ArrayBuffer(size); })', {
  filename: 'shifted.js',
  lineOffset: 6,
  columnOffset: 9,
});

const compiled = vm.compileFunction('const one = size;\nreturn new ArrayBuffer(one);', ['size'], {
  filename: 'compiled.js',
});

let made = null;

function imported(size) {
  made = new ArrayBuffer(size);
}

// (import "m" "f" (func (param i32)))   function 0
// (func (param i32) (call 0 (local.get 0)))   function 1
// (func (export "outer") (param i32) (call 1 (local.get 0)))   function 2
const wasm = new WebAssembly.Instance(
  new WebAssembly.Module(
    Uint8Array.of(
      ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      ...[0x01, 0x05, 0x01, 0x60, 0x01, 0x7f, 0x00],
      ...[0x02, 0x07, 0x01, 0x01, 0x6d, 0x01, 0x66, 0x00, 0x00],
      ...[0x03, 0x03, 0x02, 0x00, 0x00],
      ...[0x07, 0x09, 0x01, 0x05, 0x6f, 0x75, 0x74, 0x65, 0x72, 0x00, 0x02],
      ...[0x0a, 0x0f, 0x02, 0x06, 0x00, 0x20, 0x00, 0x10, 0x00, 0x0b, 0x06, 0x00, 0x20, 0x00, 0x10, 0x01, 0x0b],
    ),
  ),
  { m: { f: imported } },
);

const variables = Array.from({ length: 90 }, (_, i) => `v${i}`);

// All variables are captured, so all of them live in the context.
const crowded = vm.runInThisContext(
  `(function crowded(size) {
  let ${variables.map((name, i) => `${name} = ${i}`).join(', ')};
  function sum() {
    return ${variables.join(' + ')};
  }
  const inner = () => {
    v0 += sum();
    return new ArrayBuffer(size);
  };
  return inner();
})`,
  { filename: 'crowded.js' },
);

exports.cells = {
  'direct eval': (size) => eval(direct),
  'indirect eval': (size) => indirectEval(size),
  'eval with a name': (size) => named(size),
  'new Function': (size) => constructed(size),
  'new async function': (size) => asyncConstructed(size),
  'vm context': (size) => inContext(size),
  'vm with offsets': (size) => shifted(size),
  'vm compileFunction': (size) => compiled(size),
  WebAssembly: (size) => {
    wasm.exports.outer(size);
    return made;
  },
  'many context variables': (size) => crowded(size),
};

exports.facts = {
  // Compiled again for each call.
  'direct eval': { isLong: true },
};
