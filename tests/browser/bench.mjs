// Measures how closely the page's curve follows a slider, and prints the figures as JSON.
//
// The page marks `plimsoll:follow-drawn` and `plimsoll:full-drawn` in its performance timeline after Plotly has redrawn, with the
// number of the job whose curve is on screen. A time counts from the input event until the first mark of a job that began later.

import { firstResult, launch, open, serveSite } from './harness.mjs';

const numFollowMoves = 40;
const numFullMoves = 12;

// Runs in the page: moves a slider through distinct values and returns the times in milliseconds.
const measure = async ({ numMoves, markName }) => {
  const slider = document.querySelector('[data-testid=input-tokens] input[type=range], input[type=range]');
  const { min, max, step } = { min: Number(slider.min), max: Number(slider.max), step: Number(slider.step) || 1 };
  const drawn = [];
  const lastJob = () => Math.max(0, ...performance.getEntriesByType('mark')
    .filter(({ name }) => name.startsWith('plimsoll:')).map(({ detail }) => Number(detail?.job ?? 0)));
  const observer = new PerformanceObserver((list) => drawn.push(...list.getEntriesByName(markName)));
  observer.observe({ type: 'mark' });
  const nextFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const setValue = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  const used = new Set([Number(slider.value)]);
  const times = [];
  for (let move = 0; move < numMoves; move += 1) {
    // A walk through the middle of the range and never the same value twice: no cache can answer.
    const share = 0.25 + (0.5 * ((move * 0.618034) % 1));
    let value = Math.round((min + share * (max - min)) / step) * step;
    while (used.has(value)) value += step;
    used.add(value);
    const before = lastJob();
    drawn.length = 0;
    setValue.call(slider, String(value));
    const start = performance.now();
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    let found;
    while (!found) {
      if (performance.now() - start > 20_000) throw new Error(`no ${markName} within 20 s of move ${move + 1}`);
      await nextFrame();
      drawn.push(...observer.takeRecords().filter(({ name }) => name === markName));
      found = drawn.find(({ startTime, detail }) => startTime >= start && Number(detail?.job ?? 0) > before);
    }
    times.push(found.startTime - start);
  }
  observer.disconnect();
  return times;
};

const summary = (times) => {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  return { median: at(0.5), p95: at(0.95), max: sorted.at(-1), moves: sorted.length };
};

const site = await serveSite();
const browser = await launch();
try {
  const { page } = await open(browser, site.address);
  await firstResult(page);
  await page.waitForFunction(() => performance.getEntriesByName('plimsoll:full-drawn').length > 0);
  // Warm-up: the first moves compile the engine's hot paths.
  await page.evaluate(measure, { numMoves: 5, markName: 'plimsoll:follow-drawn' });
  const follow = await page.evaluate(measure, { numMoves: numFollowMoves, markName: 'plimsoll:follow-drawn' });
  const full = await page.evaluate(measure, { numMoves: numFullMoves, markName: 'plimsoll:full-drawn' });
  console.log(JSON.stringify({ curve_follow_ms: summary(follow), curve_full_ms: summary(full) }));
} finally {
  await browser.close();
  await site.close();
}
