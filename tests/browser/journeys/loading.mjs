// Before the modules arrive and when they do not.

import assert from 'node:assert/strict';
import test from 'node:test';
import { open, withSite } from '../harness.mjs';

test('text is there before the modules are', async () => {
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  const hold = (name) => (name.endsWith('.wasm') ? released : undefined);
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { waitUntil: 'commit' });
    const status = page.locator('#plimsoll-status');
    await status.waitFor();
    assert.match(await status.textContent(), /Loading/);
    assert.match(await page.locator('h1').textContent(), /Plimsoll/);
    release();
    await status.waitFor({ state: 'detached' });
    assert.deepEqual(errors, []);
  }, { hold });
});

test('a module that cannot be loaded is said in words', async () => {
  await withSite(async ({ browser, address }) => {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route('**/app_bg-*.wasm', (route) => route.fulfill({ status: 503, body: '' }));
    await page.goto(address);
    await page.waitForFunction(() => /could not start/.test(document.getElementById('plimsoll-status')?.textContent ?? ''));
    assert.match(await page.locator('#plimsoll-status').textContent(), /503/);
  });
});
