// A study that takes long: its progress is shown, and the Stop button and Escape end it and keep what there is.

import assert from 'node:assert/strict';
import test from 'node:test';
import { open, screenshot, withSite } from '../harness.mjs';

// Forty seeds of long runs take minutes.
const long = '#v1;1;curve.num_requests=8000;curve.num_seeds=40';
const bar = '[data-testid=progress] progress';
const slider = '[data-testid=slider-workload-input-tokens]';

const done = (page) => page.locator(bar).evaluate((element) => Number(element.value));
const fullCurves = (page) => page.evaluate(() => performance.getEntriesByName('plimsoll:settled-drawn').length);

const grows = async (page) => {
  const before = await done(page);
  await page.waitForFunction(
    ([selector, value]) => Number(document.querySelector(selector)?.value) > value,
    [bar, before],
    { timeout: 30_000 },
  );
};

/** Milliseconds from an action until the progress is gone. */
const stopped = async (page, act) => {
  const began = Date.now();
  await act();
  await page.locator(bar).waitFor({ state: 'detached', timeout: 5_000 });
  return Date.now() - began;
};

test('a long study shows its progress, and is stopped by button and by key', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { fragment: long });
    await page.locator(bar).waitFor({ timeout: 60_000 });
    assert.match(await page.locator('[data-testid=progress] span').textContent(), /^\d+ of \d+ runs$/);
    // Short runs of one seed fill the grid of 24; then two thirds of it are settled with every seed.
    await page.waitForFunction((selector) => document.querySelector(selector)?.max >= 16 * 40, bar, { timeout: 60_000 });
    await grows(page);
    await screenshot(page, 'progress');
    // A message takes up to a slice, and a slow machine some more.
    const byButton = await stopped(page, () => page.getByRole('button', { name: 'Stop', exact: true }).click());
    assert.ok(byButton < 2_000, `${byButton} ms`);
    assert.ok(await page.locator('.js-plotly-plot').count() > 0, 'the partial curve stays');
    assert.equal(await page.locator('[data-testid=progress]').textContent(), '');
    await page.waitForTimeout(1_000);
    assert.equal(await fullCurves(page), 0, 'nothing goes on behind it');
    assert.equal(await page.locator(bar).count(), 0);

    await page.locator(slider).fill('560');
    await page.locator(bar).waitFor({ timeout: 60_000 });
    await grows(page);
    const byKey = await stopped(page, () => page.keyboard.press('Escape'));
    assert.ok(byKey < 2_000, `${byKey} ms`);
    await page.waitForTimeout(500);
    assert.equal(await fullCurves(page), 0);
    assert.deepEqual(errors, []);
  });
});
