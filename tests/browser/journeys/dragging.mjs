// Edits that come while an earlier one is still being computed: the newest is always answered.

import assert from 'node:assert/strict';
import test from 'node:test';
import { firstResult, open, withSite } from '../harness.mjs';

const slider = '[data-testid=slider-workload-input-tokens]';
const fullCurves = (page) => page.evaluate(() => performance.getEntriesByName('plimsoll:full-drawn').length);

test('every edit is answered, at whatever moment it comes', async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await page.waitForFunction(() => performance.getEntriesByName('plimsoll:full-drawn').length > 0);
    let position = 530;
    for (const pause of [0, 10, 30, 60, 100, 150, 200, 300]) {
      const before = await fullCurves(page);
      await page.locator(slider).fill(String(position));
      await page.waitForTimeout(pause);
      await page.locator(slider).fill(String(position + 60));
      await page.waitForFunction(
        (count) => performance.getEntriesByName('plimsoll:full-drawn').length > count,
        before,
        { timeout: 15_000 },
      ).catch(() => assert.fail(`no full curve after an edit ${pause} ms after another`));
      position += 10;
    }
    assert.deepEqual(errors, []);
  });
});
