// As many call chains as one likes: generated functions in layers, each of which calls any of the next layer, on
// a line of its own. A number says which way a walk takes, so that it is known afterwards which chains there were.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const N_LAYERS = 6;

// Of functions in a layer; together three million chains.
const WIDTH = 12;
const N_CHAINS = WIDTH ** N_LAYERS;

// Has no divisor with the number of chains, so that as many walks in a row as there are chains are all different.
const STRIDE = 300_007;

export const SHAPE = { n_layers: N_LAYERS, width: WIDTH, stride: STRIDE };

// Returns the lines on which each function calls each of the next layer, or allocates.
export function writeWalks(path, nLeading) {
  const text = Array.from({ length: nLeading }, () => '// Not the line of the other threads.');
  const lines = {};
  for (let layer = N_LAYERS - 1; layer >= 0; layer -= 1) {
    for (let k = 0; k < WIDTH; k += 1) {
      const name = `w${layer}_${k}`;
      text.push(`function ${name}(way, size) {`);
      if (layer === N_LAYERS - 1) {
        lines[name] = [text.push('  return Buffer.allocUnsafeSlow(size);')];
      } else {
        text.push(`  switch (way[${layer + 1}]) {`);
        lines[name] = Array.from({ length: WIDTH }, (_, next) => {
          const label = next === WIDTH - 1 ? 'default' : `case ${next}`;
          text.push(`    ${label}:`);
          return text.push(`      return w${layer + 1}_${next}(way, size);`);
        });
        text.push('  }');
      }
      text.push('}');
    }
  }
  text.push(`module.exports = [${Array.from({ length: WIDTH }, (_, k) => `w0_${k}`).join(', ')}];`);
  writeFileSync(path, `${text.join('\n')}\n`);
  return lines;
}

export class Walker {
  constructor(path) {
    this.first = createRequire(import.meta.url)(path);
    this.way = new Uint8Array(N_LAYERS);
  }

  // Takes the walk of a number, at whose end a store is made.
  take(number, size) {
    let rest = (number * STRIDE) % N_CHAINS;
    for (let layer = N_LAYERS - 1; layer >= 0; layer -= 1) {
      this.way[layer] = rest % WIDTH;
      rest = Math.floor(rest / WIDTH);
    }
    return this.first[this.way[0]](this.way, size);
  }
}
