// Cells whose code changes its tier while it runs: loops that are replaced on the stack, chains that are
// inlined, functions that lose their optimised code. They know nothing of how they are measured.

// Enough for on-stack replacement in all versions of V8, by Maglev and by TurboFan.
const N_LOOPS = 30_000;

// The last ones make the store that is measured.
const N_MEASURED = 5;

// Too small to be traced, yet made by the same code.
const SMALL = 16;

const FROM = N_LOOPS - N_MEASURED;

function level1(size) {
  return new ArrayBuffer(size);
}

const level2 = (size) => level1(size);

function level3(size) {
  const store = level2(size);
  return store;
}

class Level {
  level4(size) {
    return level3(size);
  }
}

const level = new Level();

function level5(size) {
  return level.level4(size);
}

function level6(size) {
  return (
    level5(size)
  );
}

function level7(size) {
  const store = level6(size); return store;
}

function level8(size) {
  return level7(size);
}

function loopOfInlined(size) {
  const stores = [];
  for (let i = 0; i < N_LOOPS; i += 1) {
    const store = level8(i < FROM ? SMALL : size);
    if (i >= FROM) {
      stores.push(store);
    }
  }
  return stores;
}

function loopAlone(size) {
  const stores = [];
  for (let i = 0; i < N_LOOPS; i += 1) {
    const store = new ArrayBuffer(i < FROM ? SMALL : size);
    if (i >= FROM) {
      stores.push(store);
    }
  }
  return stores;
}

function nestedLoops(size) {
  const stores = [];
  let i = 0;
  while (i < N_LOOPS) {
    for (let k = 0; k < 10; k += 1) {
      const store =
        level3(
          i < FROM ? SMALL : size,
        );
      if (i >= FROM) {
        stores.push(store);
      }
      i += 1;
    }
  }
  return stores;
}

function threeCalls(size) {
  level2(SMALL);
  const store = level2(size);
  level2(SMALL);
  return store;
}

// Optimised for numbers; what is measured comes with a string, and so from where optimised code was left.
function fragile(box, size) {
  const sum = box.value + 1;
  return sum ? new ArrayBuffer(size) : null;
}

const config = { factor: 1 };

function shake(size) {
  if (size > 60_000) {
    config.factor += 1;
  }
  return new ArrayBuffer(size);
}

// Optimised for a constant factor, which changes while this is on the stack.
function trusting(size) {
  const store = shake(size);
  return config.factor > 0 ? store : null;
}

function throwing(size) {
  try {
    JSON.parse('{');
  } catch {
    return new ArrayBuffer(size);
  }
  return null;
}

export const cells = {
  'inlined in a loop': (size) => loopOfInlined(size),
  'inlined 8 levels': (size) => level8(size),
  'loop replaced on the stack': (size) => loopAlone(size),
  'nested loops': (size) => nestedLoops(size),
  'one call of three': (size) => threeCalls(size),
  'eager deoptimisation': (size) => fragile({ value: size > 60_000 ? 'x' : 1 }, size),
  'lazy deoptimisation': (size) => trusting(size),
  'in a handler': (size) => throwing(size),
};

// How many stores a call makes where it is not one, and what must not be called often.
export const facts = {
  'inlined in a loop': { nStores: N_MEASURED, isLong: true },
  'loop replaced on the stack': { nStores: N_MEASURED, isLong: true },
  'nested loops': { nStores: N_MEASURED, isLong: true },
};
