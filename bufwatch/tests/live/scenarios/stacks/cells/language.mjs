// Cells of an ES module: one way each in which JavaScript code comes to be on the stack. A cell makes a
// store of the given size, or a promise of one; what it throws for -1 is the truth about its stack. Cells
// know nothing of how they are measured.

import { EventEmitter } from 'node:events';
import { setTimeout as later } from 'node:timers/promises';

// What takes no argument (a getter, a field, a method that a builtin calls) takes the size from here.
let pending = 0;

function innermost(size) {
  return new ArrayBuffer(size);
}

function middle(size) {
  const store = innermost(size);
  return store;
}

function defaulted(size, store = new ArrayBuffer(size)) {
  return store;
}

function destructured({ size, store = new ArrayBuffer(size) }) {
  return store;
}

async function beforeAwait(size) {
  const store = new ArrayBuffer(size);
  await null;
  return store;
}

async function afterAwait(size) {
  await null;
  return new ArrayBuffer(size);
}

async function calledAfterAwait(size) {
  await later(0);
  return middle(size);
}

async function innerOfAsync(size) {
  await null;
  return innermost(size);
}

async function outerOfAsync(size) {
  const store = await innerOfAsync(size);
  return store;
}

function* generate(size) {
  yield null;
  yield new ArrayBuffer(size);
}

function* delegate(size) {
  yield* generate(size);
}

async function* generateLater(size) {
  await null;
  yield new ArrayBuffer(size);
}

class Base {
  constructor(size) {
    this.store = new ArrayBuffer(size);
  }
}

class Derived extends Base {
  constructor(size) {
    super(size);
    this.isDerived = true;
  }
}

class Implicit extends Base {}

class Fields {
  before = 1;

  store = new ArrayBuffer(pending);
}

class StaticFields {
  static make(size) {
    pending = size;
    return class {
      static store = new ArrayBuffer(pending);
    }.store;
  }

  static makeInBlock(size) {
    let store = null;
    class WithBlock {
      static {
        store = new ArrayBuffer(size);
      }
    }
    return WithBlock && store;
  }
}

const computed = 'computedName';
const symbol = Symbol('described');

class Members {
  #held = null;

  method(size) {
    return new ArrayBuffer(size);
  }

  static staticMethod(size) {
    return new ArrayBuffer(size);
  }

  #secret(size) {
    return new ArrayBuffer(size);
  }

  callsSecret(size) {
    return this.#secret(size);
  }

  static #staticSecret(size) {
    return new ArrayBuffer(size);
  }

  static callsStaticSecret(size) {
    return Members.#staticSecret(size);
  }

  get store() {
    return new ArrayBuffer(pending);
  }

  set store(size) {
    this.#held = new ArrayBuffer(size);
  }

  get #secretStore() {
    return new ArrayBuffer(pending);
  }

  readSecretStore() {
    return this.#secretStore;
  }

  get held() {
    return this.#held;
  }

  arrow = (size) => new ArrayBuffer(size);

  async asyncMethod(size) {
    await null;
    return new ArrayBuffer(size);
  }

  *generatorMethod(size) {
    yield new ArrayBuffer(size);
  }

  [computed](size) {
    return new ArrayBuffer(size);
  }

  [symbol](size) {
    return new ArrayBuffer(size);
  }

  *[Symbol.iterator]() {
    yield new ArrayBuffer(pending);
  }

  [Symbol.toPrimitive]() {
    this.#held = new ArrayBuffer(pending);
    return 1;
  }

  toJSON() {
    this.#held = new ArrayBuffer(pending);
    return {};
  }
}

const inferred = {
  method: function (size) {
    return new ArrayBuffer(size);
  },
  arrow: (size) => new ArrayBuffer(size),
  shorthand(size) {
    return new ArrayBuffer(size);
  },
  nested: {
    deep: function (size) {
      return new ArrayBuffer(size);
    },
  },
};

const holder = {};
holder.assigned = function (size) {
  return new ArrayBuffer(size);
};

const namedExpression = function ownName(size) {
  return new ArrayBuffer(size);
};

function closure(size) {
  return () => {
    const more = () => new ArrayBuffer(size);
    return more();
  };
}

function dive(depth, size) {
  if (depth === 0) {
    return new ArrayBuffer(size);
  }
  return dive(depth - 1, size);
}

function isEven(n, size) {
  return n === 0 ? new ArrayBuffer(size) : isOdd(n - 1, size);
}

function isOdd(n, size) {
  return isEven(n - 1, size);
}

function tagged(strings, size) {
  return new ArrayBuffer(size);
}

function overManyLines(
  size,
  a = 1,
) {
  const store =
    a
      ? new
        ArrayBuffer(
          size,
        )
      : null;
  return store;
}

function inBranches(size) {
  switch (typeof size) {
    case 'string':
      return new ArrayBuffer(0);
    case 'number':
      try {
        for (const one of [size]) {
          if (one !== undefined) {
            return new ArrayBuffer(one);
          }
        }
      } finally {
        pending = 0;
      }
      break;
    default:
  }
  return null;
}

// A promise of what a callback makes: there is nobody else who would catch what it throws.
function fromCallback(start) {
  return new Promise((resolve, reject) => {
    start((make) => {
      try {
        resolve(make());
      } catch (error) {
        reject(error);
      }
    });
  });
}

export const cells = {
  'sync nested': (size) => middle(size),
  'default parameter': (size) => defaulted(size),
  'destructured default': (size) => destructured({ size }),
  'before await': (size) => beforeAwait(size),
  'after await': (size) => afterAwait(size),
  'called after await': (size) => calledAfterAwait(size),
  'async in async': (size) => outerOfAsync(size),
  'async arrow': async (size) => {
    await null;
    return new ArrayBuffer(size);
  },
  generator: (size) => {
    const steps = generate(size);
    steps.next();
    return steps.next().value;
  },
  'generator delegates': (size) => [...delegate(size)][1],
  'async generator': async (size) => {
    for await (const store of generateLater(size)) {
      return store;
    }
    return null;
  },
  'array map': (size) => [size].map((one) => new ArrayBuffer(one))[0],
  'array forEach': (size) => {
    let store = null;
    [size].forEach(function each(one) {
      store = new ArrayBuffer(one);
    });
    return store;
  },
  'array sort': (size) => {
    let store = null;
    [2, 1].sort((a, b) => {
      store = new ArrayBuffer(size);
      return a - b;
    });
    return store;
  },
  'array reduce': (size) => [1, 2].reduce(() => new ArrayBuffer(size)),
  'array from': (size) => Array.from([size], (one) => new ArrayBuffer(one))[0],
  'map forEach': (size) => {
    let store = null;
    new Map([[1, 2]]).forEach(() => {
      store = new ArrayBuffer(size);
    });
    return store;
  },
  'replace callback': (size) => {
    let store = null;
    'x'.replace(/x/, () => {
      store = new ArrayBuffer(size);
      return '';
    });
    return store;
  },
  'JSON reviver': (size) => JSON.parse('1', () => new ArrayBuffer(size)),
  'JSON toJSON': (size) => {
    pending = size;
    const members = new Members();
    JSON.stringify(members);
    return members.held;
  },
  'promise then': (size) => Promise.resolve(size).then((one) => new ArrayBuffer(one)),
  'promise constructor': (size) =>
    new Promise((resolve) => {
      resolve(new ArrayBuffer(size));
    }),
  'next tick': (size) =>
    fromCallback((done) => {
      process.nextTick(function ticked() {
        done(() => new ArrayBuffer(size));
      });
    }),
  'set immediate': (size) =>
    fromCallback((done) => {
      setImmediate(() => done(() => middle(size)));
    }),
  'set timeout': (size) =>
    fromCallback((done) => {
      setTimeout(function timedOut() {
        done(() => new ArrayBuffer(size));
      }, 0);
    }),
  microtask: (size) =>
    fromCallback((done) => {
      queueMicrotask(() => done(() => new ArrayBuffer(size)));
    }),
  'event emitter': (size) => {
    let store = null;
    const emitter = new EventEmitter();
    emitter.on('made', function onMade(one) {
      store = new ArrayBuffer(one);
    });
    emitter.emit('made', size);
    return store;
  },
  'class method': (size) => new Members().method(size),
  'static method': (size) => Members.staticMethod(size),
  'private method': (size) => new Members().callsSecret(size),
  'static private method': (size) => Members.callsStaticSecret(size),
  getter: (size) => {
    pending = size;
    return new Members().store;
  },
  'private getter': (size) => {
    pending = size;
    return new Members().readSecretStore();
  },
  setter: (size) => {
    const members = new Members();
    members.store = size;
    return members.held;
  },
  'class arrow': (size) => new Members().arrow(size),
  'async method': (size) => new Members().asyncMethod(size),
  'generator method': (size) => new Members().generatorMethod(size).next().value,
  constructor: (size) => new Base(size).store,
  'derived constructor': (size) => new Derived(size).store,
  'implicit constructor': (size) => new Implicit(size).store,
  'field initialiser': (size) => {
    pending = size;
    return new Fields().store;
  },
  'static field': (size) => StaticFields.make(size),
  'static block': (size) => StaticFields.makeInBlock(size),
  'computed method': (size) => new Members().computedName(size),
  'symbol method': (size) => new Members()[symbol](size),
  'symbol iterator': (size) => {
    pending = size;
    const [store] = new Members();
    return store;
  },
  'symbol toPrimitive': (size) => {
    pending = size;
    const members = new Members();
    return Number(members) && members.held;
  },
  'inferred method': (size) => inferred.method(size),
  'inferred arrow': (size) => inferred.arrow(size),
  'shorthand method': (size) => inferred.shorthand(size),
  'inferred nested': (size) => inferred.nested.deep(size),
  'assigned function': (size) => holder.assigned(size),
  'named expression': (size) => namedExpression(size),
  anonymous: (size) =>
    (function () {
      return new ArrayBuffer(size);
    })(),
  closure: (size) => closure(size)(),
  recursion: (size) => dive(12, size),
  'mutual recursion': (size) => isEven(8, size),
  'deeper than the limit': (size) => dive(90, size),
  'tagged template': (size) => tagged`${size}`,
  'over many lines': (size) => overManyLines(size),
  branches: (size) => inBranches(size),
  bound: (size) => middle.bind(null, size)(),
  'call and apply': (size) => middle.apply(null, [size]),
  'reflect apply': (size) => Reflect.apply(middle, null, [size]),
  'reflect construct': (size) => Reflect.construct(Derived, [size]).store,
  proxy: (size) =>
    new Proxy(middle, {
      apply(target, self, args) {
        return Reflect.apply(target, self, args);
      },
    })(size),
  'proxy get': (size) =>
    new Proxy({}, {
      get() {
        return new ArrayBuffer(size);
      },
    }).anything,
};

// A name that is computed at runtime is a property of the function object and no part of its code.
export const facts = {
  'computed method': { isNameComputed: true },
  'symbol method': { isNameComputed: true },
  'symbol iterator': { isNameComputed: true },
  'symbol toPrimitive': { isNameComputed: true },
};
