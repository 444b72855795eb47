// Folders, dropped from the desktop or chosen: a ServeGen folder is a workload, a folder of logs is calibrated with.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { dropPaths, firstResult, open, screenshot, withSite } from '../harness.mjs';
import { benchResult } from '../logs.mjs';

// Writes these files into a folder that is gone when the journey is over.
const withFolder = async (files, journey) => {
  const folder = mkdtempSync(join(tmpdir(), 'plimsoll-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    await journey(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

const chunk = (index, rate, input) => ({
  [`chunk-${index}-trace.csv`]: `0,${rate},1.5,Gamma,0.4,2.0\n600,1.0,1.0,Gamma,1.0,1.0\n`,
  [`chunk-${index}-dataset.json`]: JSON.stringify({ 0: { input_tokens: `{${input}: 0.5, ${input + 200}: 0.5}`, output_tokens: '{20: 1.0}' } }),
});

test('a ServeGen folder is dropped on the first tab, looked at, and taken over', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    await withFolder({ ...chunk(1, 2.5, 100), ...chunk(2, 1.5, 1000), 'README.md': 'About these.\n', '.DS_Store': 'x' }, async (folder) => {
      const { page, errors, requests } = await open(browser, address);
      await firstResult(page);
      await page.waitForFunction(() => performance.getEntriesByName('plimsoll:settled-drawn').length > 0, undefined, { timeout: 60_000 });
      await dropPaths(page, [folder]);
      await page.getByText('Looking at the workload of the ServeGen folder').waitFor({ timeout: 60_000 });
      assert.equal(await page.getByRole('tab', { name: 'Workload' }).getAttribute('aria-selected'), 'true');
      await page.locator('[data-testid=clients] tbody tr').nth(1).waitFor({ timeout: 30_000 });
      await screenshot(page, 'workload-servegen');
      await page.getByRole('button', { name: 'Use this workload' }).click();
      await page.getByText('A mix of 2 clients').waitFor({ timeout: 60_000 });
      // The same by the button, and again without the folder's second half: every file is needed.
      await page.locator('[data-testid=offer-folder]').setInputFiles(folder);
      await page.getByText('Looking at the workload of the ServeGen folder').waitFor({ timeout: 30_000 });
      rmSync(join(folder, 'chunk-2-dataset.json'));
      await page.locator('[data-testid=offer-folder]').setInputFiles(folder);
      await page.locator('[data-testid=offer] .problem').filter({ hasText: 'chunk-2' }).first().waitFor({ timeout: 30_000 });
      assert.deepEqual(requests.filter(({ hasBody }) => hasBody), [], 'nothing is sent');
      assert.deepEqual(errors, []);
    });
  });
});

test('a folder of several logs is read at once, and what is no log is passed over', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    // One of them comes in several pieces.
    const large = benchResult(4, 2500);
    assert.ok(large.length > 5_000_000);
    const files = { 'a/one.json': benchResult(1, 40), 'a/four.json': large, 'b/sixteen.json': benchResult(16), 'b/README.md': 'About these.\n' };
    await withFolder(files, async (folder) => {
      const { page, errors } = await open(browser, address);
      await firstResult(page);
      await dropPaths(page, [folder]);
      await page.getByRole('button', { name: 'Fit 3 runs' }).waitFor({ timeout: 60_000 });
      const cards = page.locator('[data-testid=calibrate-file]');
      assert.deepEqual(await cards.locator('.name strong').allTextContents(), ['four.json', 'one.json', 'sixteen.json']);
      assert.match(await cards.first().textContent(), /2,500 requests/);
      assert.match(await page.locator('[data-testid=calibrate-passed-over]').textContent(), /README\.md/);
      await screenshot(page, 'calibrate-folder');
      assert.deepEqual(errors, []);
    });
  });
});

test('the folder of a model is dropped: its index says what the weights take, to the byte', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const config = readFileSync(new URL('../../truth/hf-configs/quantised-gptq-int4/config.json', import.meta.url), 'utf8');
    const index = JSON.stringify({ metadata: { total_size: 6 * 1024 ** 3 }, weight_map: {} });
    const files = { 'my-model/config.json': config, 'my-model/model.safetensors.index.json': index, 'my-model/tokenizer.json': '{}' };
    await withFolder(files, async (folder) => {
      const { page, errors, requests } = await open(browser, address);
      await firstResult(page);
      await dropPaths(page, [join(folder, 'my-model')]);
      await page.getByText(/^The model is now my-model, [\d,]+ parameters\./).waitFor({ timeout: 60_000 });
      await page.getByRole('tab', { name: 'Memory' }).click();
      const weights = page.locator('.shares tr').filter({ hasText: /^weights/i }).first();
      await weights.waitFor({ timeout: 60_000 });
      assert.match(await weights.innerText(), /6\.00\s*GiB/);
      await screenshot(page, 'memory-of-a-folder');
      assert.deepEqual(requests.filter(({ hasBody }) => hasBody), [], 'nothing is sent');
      assert.deepEqual(errors, []);
    });
  });
});
