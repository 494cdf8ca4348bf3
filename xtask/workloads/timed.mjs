// The frame of every workload: says READY, runs once for each line on stdin, prints how much it did in
// how many seconds, and stays until stdin closes, so that a tracer that is attached can still look.

import { createInterface } from 'node:readline';

export function timed(run) {
  const input = createInterface({ input: process.stdin });
  input.on('line', async () => {
    const cpu = process.cpuUsage();
    const start = process.hrtime.bigint();
    const ops = await run();
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const { user, system } = process.cpuUsage(cpu);
    console.log(JSON.stringify({ ops, seconds, cpu_seconds: (user + system) / 1e6 }));
  });
  input.once('close', () => process.exit(0));
  console.log('READY');
}

// The size of the run, so that a quick look need not take as long: a share of the full number.
export function scaled(n) {
  return Math.max(1, Math.round(n * Number(process.argv[2] ?? 1)));
}
