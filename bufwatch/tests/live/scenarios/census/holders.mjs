// Holds a view in every way that JavaScript knows, and says by what names its holder must be told: the last steps of the path. Where two
// are as near as each other, or Node's own part differs between versions, fewer steps are said. `FILE` stands for file and line.
//
// Words: `hold`, `gc`, `load`; see `truth.mjs`.

import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import vm from 'node:vm';

import { Truth, serve } from './truth.mjs';

const truth = new Truth();
const held = (globalThis.HELD = {});
const H = ['global HELD', 'Object'];

// By JavaScript's own means: V8's side of the process holds it, and something of the application is on the way.
const js = (path, more = {}) => ({ held: { path, root: 'isolate', is_by_application: true, ...more } });

class Field { constructor(view) { this.view = view; } }
class Late { constructor() { for (let i = 0; i < 20; i += 1) this[`p${i}`] = i; } }
class Private { #view; constructor(view) { this.#view = view; } has() { return this.#view !== undefined; } }
class Static { static shared; }
class List extends Array {}
function* generator(view) { yield 1; return view; }
async function* asyncGenerator(view) { yield 1; return view; }
const never = new Promise(() => {});
async function waits(view) { await never; return view; }

let moduleVariable;
export let exported;
export const variables = () => moduleVariable;

const weak = new WeakMap();
const key = { name: 'live' };
const registry = new FinalizationRegistry(() => {});
const storage = new AsyncLocalStorage();
const common = createRequire(import.meta.url)('./holders.cjs');
Object.assign(held, { never, weak, key, registry });

const holders = {
  'global variable': [js(['global DIRECT']), (view) => { globalThis.DIRECT = view; }],
  closure: [js([...H, '.closure (read() FILE)', 'variable view']), (view) => {
    held.closure = function read() { return view; };
  }],
  'class field': [js([...H, '.field (Field)', '.view']), (view) => { held.field = new Field(view); }],
  'private field': [js([...H, '.private (Private)', '.#view']), (view) => { held.private = new Private(view); }],
  'static field': [js([...H, '.static (Static() FILE)', '.shared']), (view) => {
    Static.shared = view;
    held.static = Static;
  }],
  'late property': [js([...H, '.late (Late)', '.added']), (view) => {
    held.late = new Late();
    for (let i = 0; i < 20; i += 1) held.late[`q${i}`] = i;
    held.late.added = view;
  }],
  'symbol property': [js([...H, '.symbol (Object)', '[Symbol(tag)]']), (view) => {
    held.symbol = { [Symbol('tag')]: view };
  }],
  'any property': [js([...H, '.quoted (Object)', '["two words"]']), (view) => { held.quoted = { 'two words': view }; }],
  'dictionary mode': [js([...H, '.dictionary (Object)', '.last']), (view) => {
    held.dictionary = Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`k${i}`, i]));
    delete held.dictionary.k3;
    held.dictionary.last = view;
  }],
  'without prototype': [js([...H, '.bare (Object)', '.view']), (view) => {
    held.bare = Object.create(null);
    held.bare.view = view;
  }],
  prototype: [js([...H, '.inherits (Object)', '[prototype] (Object)', '.view']), (view) => {
    held.inherits = Object.create({ view });
  }],
  accessor: [js([...H, '.accessor (Object)', '.view', 'get view() FILE', 'variable view']), (view) => {
    held.accessor = { get view() { return view; } };
  }],
  'array of arrays': [js([...H, '.arrays (Array)', '[1] (Array)', '[1] (Array)', '[1]']), (view) => {
    held.arrays = [[1], [2, [3, view]]];
  }],
  'sparse array': [js([...H, '.sparse (Array)', '[100000000]']), (view) => {
    held.sparse = [];
    held.sparse[100_000_000] = view;
  }],
  'class of arrays': [js([...H, '.list (List)', '[0]']), (view) => { held.list = List.from([view]); }],
  'Map value': [js([...H, '.map (Map)', '["key 17"]']), (view) => { held.map = new Map([['key 17', view]]); }],
  'Map key': [js([...H, '.keys (Map)', '[a key]']), (view) => { held.keys = new Map([[view, 1]]); }],
  'Set member': [js([...H, '.set (Set)', '[member]']), (view) => { held.set = new Set([view]); }],
  WeakMap: [js([...H, '.weak (WeakMap)', '[weak key]']), (view) => { weak.set(key, view); }],
  FinalizationRegistry: [js([...H, '.registry (FinalizationRegistry)', '[held value]']), (view) => {
    registry.register(key, view);
  }],
  generator: [js([...H, '.generator (generator() FILE, waiting)', '[local variable]']), (view) => {
    held.generator = generator(view);
    held.generator.next();
  }],
  'async generator': [js([...H, '.asyncGenerator (asyncGenerator() FILE, waiting)', '[local variable]']), (view) => {
    held.asyncGenerator = asyncGenerator(view);
    held.asyncGenerator.next();
  }],
  await: [js(['.never (Promise)', '[then]', 'waits() FILE, waiting', '[local variable]']), (view) => { waits(view); }],
  'pending promise': [js(['.never (Promise)', '[then] ((anonymous)() FILE)', 'variable view']), (view) => {
    never.then(() => view);
  }],
  'resolved promise': [js([...H, '.resolved (Promise)', '[result]']), (view) => { held.resolved = Promise.resolve(view); }],
  bound: [js([...H, '.bound (Function)', '[bound this]']), (view) => {
    held.bound = function of() { return this; }.bind(view);
  }],
  'bound argument': [js([...H, '.partial (Function)', '[bound argument]']), (view) => {
    held.partial = ((it) => it).bind(null, view);
  }],
  proxy: [js([...H, '.proxy (Proxy)', '[target] (Object)', '.view']), (view) => { held.proxy = new Proxy({ view }, {}); }],
  'error cause': [js([...H, '.error (Error)', '.cause']), (view) => { held.error = new Error('of', { cause: view }); }],
  'EventEmitter listener': [
    js([...H, '.emitter (EventEmitter)', '._events (Object)', '.data ((anonymous)() FILE)', 'variable view']),
    (view) => { held.emitter = new EventEmitter().on('data', () => view); },
  ],
  'listener of the process': [js(['process', '._events (Object)', '.SIGUSR2 ((anonymous)() FILE)', 'variable view']), (view) => {
    process.on('SIGUSR2', () => view);
  }],
  timer: [js(['._onTimeout ((anonymous)() FILE)', 'variable view']), (view) => { setTimeout(() => view, 1e8); }],
  "timer's argument": [js(['._timerArgs (Array)', '[0]'], { is_by_application: false }), (view) => {
    setTimeout(() => {}, 1e8 + 1, view);
  }],
  AsyncLocalStorage: [js(['.view'], { is_by_application: false }), (view) => {
    storage.run({ view }, () => setTimeout(() => {}, 1e8 + 2));
  }],
  'variable of a module': [js(['variable moduleVariable']), (view) => { moduleVariable = view; }],
  'export of a module': [js(['export exported']), (view) => { exported = view; }],
  'variable of a CommonJS module': [js(['.set (exports.set() FILE)', 'variable moduleVariable']), (view) => common.set(view)],
  'export of a CommonJS module': [js(['.kept']), (view) => { common.kept = view; }],
  'variable of a script': [js(['variable ofScript']), (view) => {
    vm.runInThisContext('let ofScript; (view) => { ofScript = view; }', { filename: 'script.js' })(view);
  }],
  'variable of another context': [js([...H, '.context (Object)', '.node:contextify:context (Object)', 'variable inside']), (view) => {
    held.context = vm.createContext({});
    vm.runInContext('let inside; (view) => { inside = view; }', held.context, { filename: 'inside.js' })(view);
  }],
};

await serve(truth, {
  hold() {
    for (const [name, [more, hold]] of Object.entries(holders)) {
      truth.keep(name, hold, more);
    }
    // None of these holds anything: a target, a key that dies with its value, a token.
    truth.drop(3, (view) => { held.ref = new WeakRef(view); });
    truth.drop(3, (view) => weak.set({ view }, view));
    truth.drop(3, (view) => registry.register(view, 'held', view));
    truth.drop(3, (view) => { vm.runInContext('let gone; (view) => { gone = view; }', vm.createContext({}))(view); });
    truth.drop(20);
  },
});
