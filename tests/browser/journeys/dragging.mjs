// Edits that come while an earlier one is still being computed: the newest is always answered.
//
// At an edit the page marks `plimsoll:input` with the last job given out before it, and a drawn curve with its own job: only a
// later job can be the answer. A curve of the edit before may be finished by a later job still, so the numbers must also become
// those of a fresh page at the same address.

import assert from 'node:assert/strict';
import test from 'node:test';
import { firstResult, open, withSite } from '../harness.mjs';

const slider = '[data-testid=slider-workload-input-tokens]';
const jobAtLastEdit = (page) => page.evaluate(() => {
  const edits = performance.getEntriesByName('plimsoll:input');
  return Math.max(0, ...edits.map(({ detail }) => Number(detail?.job ?? 0)));
});

const fullCurve = (page, job) => page.waitForFunction(
  (least) => performance.getEntriesByName('plimsoll:settled-drawn').some(({ detail }) => Number(detail?.job ?? 0) > least),
  job,
  { timeout: 15_000 },
);
const numbers = (page) => page.locator('.answer').innerText();

test('every edit is answered, at whatever moment it comes', async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await page.waitForFunction(() => performance.getEntriesByName('plimsoll:settled-drawn').length > 0);
    let position = 530;
    for (const pause of [0, 10, 30, 60, 100, 150, 200, 300]) {
      await page.locator(slider).fill(String(position));
      await page.waitForTimeout(pause);
      await page.locator(slider).fill(String(position + 60));
      const before = await jobAtLastEdit(page);
      assert.ok(before > 0, 'an edit marks the job before it');
      const value = await page.getAttribute(slider, 'aria-valuetext');
      await fullCurve(page, before)
        .catch(() => assert.fail(`no full curve after an edit ${pause} ms after another`));
      await page.waitForFunction((mean) => location.hash.includes(`=${mean}`), value.replace(/\D/g, ''));
      const { hash: fragment } = new URL(page.url());
      const { page: fresh, context } = await open(browser, address, { fragment });
      await fullCurve(fresh, 0);
      assert.equal(await fresh.getAttribute(slider, 'aria-valuetext'), value);
      const expected = await numbers(fresh);
      await context.close();
      await page.waitForFunction(
        (text) => document.querySelector('.answer').innerText === text,
        expected,
        { timeout: 15_000 },
      ).catch(async () => assert.equal(await numbers(page), expected, `an edit ${pause} ms after another`));
      position += 10;
    }
    assert.deepEqual(errors, []);
  });
});
