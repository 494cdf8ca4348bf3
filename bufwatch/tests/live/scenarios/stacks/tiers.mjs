// The tiers of V8's compilers that a run goes through, and the flags that keep code in them. Flags are of the
// process, so the main thread sets them for all threads; they act on what is compiled from then on.

import { setFlagsFromString } from 'node:v8';

const v8Major = Number.parseInt(process.versions.v8, 10);

// From 24 on, the tier between Sparkplug and TurboFan is on by default.
const hasMaglev = Number.parseInt(process.versions.node, 10) >= 24;

// Fewer calls before a function is thought hot; the names changed with how it is counted.
// The natives tell the tier of a function.
const SOONER =
  v8Major >= 12
    ? ['--allow-natives-syntax', '--invocation-count-for-maglev=100', '--invocation-count-for-turbofan=300', '--minimum-invocations-after-ic-update=50']
    : ['--allow-natives-syntax', '--interrupt-budget=20000'];

const withoutMaglev = hasMaglev ? ['--no-maglev'] : [];

// Each phase: what it is called, the flags that it adds, how often a cell is called before it is measured,
// and what makes V8 optimise one that is not hot enough by then.
export const MODES = {
  // Each tier for itself. The status of a function can only be asked for with the natives.
  tiers: [
    { phase: 'ignition', flags: [...SOONER, '--no-opt', '--no-sparkplug', ...withoutMaglev], nWarm: 0 },
    { phase: 'sparkplug', flags: ['--sparkplug', '--no-baseline-batch-compilation'], nWarm: 300 },
    { phase: 'turbofan', flags: ['--opt'], nWarm: 2400, native: '%OptimizeFunctionOnNextCall' },
  ],
  maglev: [
    { phase: 'maglev', flags: [...SOONER, '--no-opt'], nWarm: 2400, native: '%OptimizeMaglevOnNextCall' },
  ],
  // All tiers in one process, for cassettes. Threads that begin without Maglev never get it, so these flags come later.
  cassette: [
    { phase: 'ignition', flags: [...SOONER, '--no-opt', '--no-sparkplug', ...withoutMaglev], nWarm: 0 },
    { phase: 'sparkplug', flags: ['--sparkplug', '--no-baseline-batch-compilation'], nWarm: 300 },
    ...(hasMaglev ? [{ phase: 'maglev', flags: ['--maglev'], nWarm: 2400, native: '%OptimizeMaglevOnNextCall' }] : []),
    { phase: 'turbofan', flags: ['--opt'], nWarm: 2400, native: '%OptimizeFunctionOnNextCall' },
  ],
  // As people run Node.
  plain: [
    { phase: 'cold', flags: [], nWarm: 0 },
    { phase: 'hot', flags: [], nWarm: 8000 },
  ],
};

export function setFlags({ flags }) {
  for (const flag of flags) {
    setFlagsFromString(flag);
  }
}

// Bits of %GetOptimizationStatus: `OptimizationStatus` in V8's src/runtime/runtime.h. V8 14 dropped one below them.
const STATUS_SHIFT = v8Major >= 14 ? 1 : 0;
const STATUS_BITS = { maglev: 32, turbofan: 64, ignition: 128 };

// The tier that a function would run in if it were called now; null when that cannot be asked for.
export function tierOf(f) {
  let status;
  try {
    status = new Function('f', 'return %GetOptimizationStatus(f);')(f);
  } catch {
    return null;
  }
  const tier = Object.keys(STATUS_BITS).find((name) => (status << STATUS_SHIFT) & STATUS_BITS[name]);
  return tier ?? 'sparkplug';
}

// Has V8 optimise a function at its next call, with whatever it can inline into it.
export function optimize(f, native) {
  new Function('f', `%PrepareFunctionForOptimization(f); ${native}(f);`)(f);
}
