// Runs one workload of the benchmark in Node: `node bench-workload.mjs GLUE list | run NAME REQUESTS`.
// Prints what the native program prints; the clock is here because the simulator has none.

import { createRequire } from 'node:module';
import { performance } from 'node:perf_hooks';

const numWarmUpRequests = 50_000;

const [glue, task, name, requests] = process.argv.slice(2);
const module = createRequire(import.meta.url)(glue);

if (task === 'list') {
  console.log(module.workloads());
} else {
  // A fresh module runs unoptimized code at first; workers are warmed in the same way.
  module.run_workload(name, numWarmUpRequests);
  const start = performance.now();
  const counts = JSON.parse(module.run_workload(name, Number(requests)));
  const seconds = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ seconds, ...counts, peak_bytes: null }));
}
