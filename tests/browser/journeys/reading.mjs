// Reading results without a mouse, without eyes on the chart, and on a phone.

import assert from 'node:assert/strict';
import test from 'node:test';
import { firstResult, open, phone, screenshot, withSite } from '../harness.mjs';

test('each chart has a table with every rate', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await page.waitForFunction(() => performance.getEntriesByName('plimsoll:settled-drawn').length > 0);
    for (const chart of ['ttft', 'tpot', 'e2e', 'throughput']) {
      const panel = page.locator(`[data-testid=chart-${chart}]`);
      await panel.getByRole('button', { name: 'Table' }).click();
      const rows = await panel.locator('tbody tr').count();
      assert.ok(rows >= 24, `${chart} has ${rows} rows`);
      assert.match(await panel.locator('table').textContent(), /overloaded/);
      await panel.getByRole('button', { name: 'Chart' }).click();
    }
    await screenshot(page, 'tables-closed-again');
    assert.deepEqual(errors, []);
  });
});

test('the model is chosen by keyboard alone', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await page.locator('#model').focus();
    await page.keyboard.type('llama 3.1 70b');
    await page.locator('#model-list [role=option]').first().waitFor();
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => /70b/i.test(document.querySelector('.deployment').textContent), undefined, { timeout: 30_000 });
    await page.locator('#tab-curves').focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.locator('#tab-bottleneck').getAttribute('aria-selected'), 'true');
    await page.getByText('Where the time goes', { exact: false }).waitFor();
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor({ state: 'hidden' });
    assert.deepEqual(errors, []);
  });
});

test('on a phone the answer comes first and targets are large', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { viewport: phone });
    await firstResult(page);
    assert.equal(await page.locator('[data-testid=editor]').evaluate((editor) => editor.open), false);
    const top = (selector) => page.locator(selector).first().evaluate((element) => element.getBoundingClientRect().top);
    assert.ok((await top('.answer')) < (await top('.results')) && (await top('.results')) < (await top('.editor')));
    await page.locator('.editor > summary').click();
    const small = await page.locator('.editor button, .editor select, .editor .with-unit').evaluateAll((elements) =>
      elements.map((element) => element.getBoundingClientRect()).filter(({ height }) => height > 0 && height < 44).length);
    assert.equal(small, 0, 'controls are at least 44 px high');
    await screenshot(page, 'phone-editor');
    assert.deepEqual(errors, []);
  });
});

test('colors change at the first click and every visible control has a name', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await ground();
    await page.getByRole('button', { name: 'Light, dark or system colors' }).click();
    assert.notEqual(await ground(), before);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll('input, select, textarea, button')]
        .filter((element) => !element.getAttribute('aria-label') && !element.labels?.length && !element.textContent.trim())
        .map((element) => element.outerHTML.slice(0, 120)));
    assert.deepEqual(nameless, []);
    assert.deepEqual(errors, []);
  });
});
