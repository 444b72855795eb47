// Runs one workload of the benchmark in Node: `node bench-workload.mjs GLUE list | run NAME REQUESTS`.
// Prints what the native program prints; the clock is here because the simulator has none.

import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';

// A fresh module runs unoptimized code, function by function, until the optimizing compiler has finished in the background;
// the page's workers are warmed for the same reason. Warm means: several runs in a row without getting faster.
const numWarmUpRequests = 20_000;
const numSteadyRuns = 5;
const maxWarmUpRuns = 100;

const warmUp = async (run) => {
  let best = Infinity;
  let steady = 0;
  for (let count = 0; count < maxWarmUpRuns && steady < numSteadyRuns; count += 1) {
    const start = performance.now();
    run(numWarmUpRequests);
    const time = performance.now() - start;
    steady = time > 0.9 * best ? steady + 1 : 0;
    best = Math.min(best, time);
    await setTimeout(20);
  }
};

const [glue, task, name, requests] = process.argv.slice(2);
const module = createRequire(import.meta.url)(glue);

if (task === 'list') {
  console.log(module.workloads());
} else {
  await warmUp((count) => module.run_workload(name, Math.min(count, Number(requests))));
  const start = performance.now();
  const counts = JSON.parse(module.run_workload(name, Number(requests)));
  const seconds = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ seconds, ...counts, peak_bytes: null }));
}
