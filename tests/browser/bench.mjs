// Measures how closely the page's curve follows a slider and how long a fit takes, and prints the figures as JSON.
//
// The page marks `plimsoll:follow-drawn`, `plimsoll:full-drawn`, `plimsoll:capacity-drawn` and `plimsoll:settled-drawn` in its
// performance timeline after Plotly has redrawn, with the number of the job whose curve is on screen, and `plimsoll:input` at an
// edit, with the last number given out before it.
// A time counts from the input event until the first mark of a later job. A full curve is a coherent one too: where it is there
// before the coarse one has been redrawn, it ends both times.
// Each move waits for the answer to the one before: what is measured is the way from one edit to its curve, not how many of the
// edits of a faster drag are answered.
// Every move goes to a value that was never shown before, so no result kept by the page can answer.
// The slider is dragged steadily around the default; far moves jump to prompts of up to 14 times its length, whose requests take
// more steps each and whose curves need other axes.

import { firstResult, launch, open, serveSite } from './harness.mjs';
import { benchResult } from './logs.mjs';

const slider = '[data-testid=slider-workload-input-tokens]';
const numWarmUpMoves = 5;
const numFollowMoves = 40;
const numFullMoves = 36;
const numCapacityMoves = 20;
const numSettledMoves = 20;
const numFarMoves = 20;
// Of the simulator: the page takes one less than the processors it is told of, and two at least.
const numWorkers = 2;

// Three positions apart are different values; 448 is about half of the default prompt. What does not fit below the far positions
// comes last, from further down.
const upwards = (first, length) => Array.from({ length }, (_, index) => first + 3 * index);
const numBefore = 29;
const positions = [
  ...upwards(448, numWarmUpMoves + numFollowMoves + numFullMoves + numCapacityMoves + numSettledMoves - 2 * numBefore),
  ...upwards(448 - 6 * numBefore, 2 * numBefore),
];
const farPositions = Array.from({ length: numFarMoves }, (_, index) => 640 + 3 * ((index * 63) % 110));

// Runs in the page: moves the slider and returns the times in milliseconds, with the values it showed.
const measure = async ({ slider, positions, names }) => {
  const input = document.querySelector(slider);
  const setValue = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  const job = ({ detail }) => Number(detail?.job ?? 0);
  const marks = (name) => performance.getEntriesByType('mark').filter((mark) => mark.name.startsWith(name));
  const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const moves = [];
  for (const position of positions) {
    const shown = Math.max(0, ...marks('plimsoll:').map(job));
    setValue.call(input, String(position));
    const start = performance.now();
    input.dispatchEvent(new Event('input', { bubbles: true }));
    const before = Math.max(shown, ...marks('plimsoll:input').map(job));
    let found;
    while (!found) {
      if (performance.now() - start > 20_000) throw new Error(`no ${names} within 20 s of the move to ${position}`);
      await nextFrame();
      found = names.flatMap(marks).find((mark) => mark.startTime >= start && job(mark) > before);
    }
    moves.push({ time: found.startTime - start, value: input.getAttribute('aria-valuetext') });
  }
  return moves;
};

const summary = (moves) => {
  const sorted = moves.map(({ time }) => time).sort((a, b) => a - b);
  const at = (share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  return { median: at(0.5), p95: at(0.95), max: sorted.at(-1), moves: sorted.length };
};

// A fit with every setting as it stands, of five runs of a hundred requests at different loads: seconds from the click to the
// end, as the page itself shows them.
const fit = async (page) => {
  await page.getByRole('tab', { name: 'Calibrate' }).click();
  const caps = [1, 4, 16, 32, 64];
  const files = caps.map((cap) => ({ name: `cap-${cap}.json`, mimeType: 'application/json', buffer: Buffer.from(benchResult(cap)) }));
  await page.locator('[data-testid=calibrate-open]').setInputFiles(files, { timeout: 60_000 });
  const button = page.getByRole('button', { name: `Fit ${caps.length} runs` });
  await button.waitFor({ timeout: 60_000 });
  const start = await page.evaluate(() => performance.now());
  await button.click();
  const done = await page.waitForFunction(
    () => /^Done/.test(document.querySelector('[data-testid=calibrate-status]')?.textContent ?? '') && performance.now(),
    undefined,
    { timeout: 300_000 },
  );
  const status = await page.locator('[data-testid=calibrate-status]').textContent();
  return {
    seconds: ((await done.jsonValue()) - start) / 1000,
    evaluations: Number(status.match(/([\d,]+) evaluations/)[1].replaceAll(',', '')),
    cores: await page.evaluate(() => navigator.hardwareConcurrency),
  };
};

const site = await serveSite();
const browser = await launch();
try {
  const { page, context } = await open(browser, site.address, { numCores: numWorkers });
  await firstResult(page);
  // One more is the spare, which answers the editor and does not simulate.
  const workers = page.workers().length - 1;
  if (workers !== numWorkers) throw new Error(`the page has ${workers} simulating workers instead of ${numWorkers}`);
  await page.waitForFunction(() => performance.getEntriesByName('plimsoll:full-drawn').length > 0);
  const next = (from, count, names) => page.evaluate(measure, { slider, positions: from.splice(0, count), names });
  const first = await page.getAttribute(slider, 'aria-valuetext');
  const coherent = ['plimsoll:follow-drawn', 'plimsoll:full-drawn'];
  const complete = ['plimsoll:full-drawn'];
  // A capacity that settles with the last point is drawn with it.
  const told = ['plimsoll:capacity-drawn', 'plimsoll:settled-drawn'];
  const steady = ['plimsoll:settled-drawn'];
  const warmUp = await next(positions, numWarmUpMoves, complete);
  const follow = await next(positions, numFollowMoves, coherent);
  const full = await next(positions, numFullMoves, complete);
  const capacity = await next(positions, numCapacityMoves, told);
  const settled = await next(positions, numSettledMoves, steady);
  const far = await next(farPositions, numFarMoves, coherent);
  const values = [first, ...[...warmUp, ...follow, ...full, ...capacity, ...settled, ...far].map(({ value }) => value)];
  if (new Set(values).size < values.length) throw new Error(`the slider showed a value twice: ${values.join(', ')}`);
  const figures = { curve_follow_ms: follow, curve_full_ms: full, curve_capacity_ms: capacity, curve_settled_ms: settled, curve_follow_far_ms: far };
  const summaries = Object.entries(figures).map(([name, moves]) => [name, summary(moves)]);
  // The fit takes all processors: a page of its own, beside which no other works.
  await context.close();
  const fitting = await open(browser, site.address);
  await firstResult(fitting.page);
  console.log(JSON.stringify({ workers, ...Object.fromEntries(summaries), fit_five_logs: await fit(fitting.page) }));
} finally {
  await browser.close();
  await site.close();
}
