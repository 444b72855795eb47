// Sliders, fields, history and links: one scenario is the truth, and the address holds it.

import assert from 'node:assert/strict';
import test from 'node:test';
import { firstResult, open, screenshot, withSite } from '../harness.mjs';

const headline = (page) => page.locator('[data-testid=headline]').textContent();
const fullDrawn = (page) =>
  page.evaluate(() => performance.getEntriesByName('plimsoll:settled-drawn').length);
// Waits for a full result that was not there at `before`.
const nextFull = (page, before) =>
  page.waitForFunction((count) => performance.getEntriesByName('plimsoll:settled-drawn').length > count, before, { timeout: 30_000 });
// Waits until the answer at full resolution is read out; no chart need be in view for that.
const answered = (page) =>
  page.waitForFunction(() => document.querySelector('.answer [aria-live=polite]')?.textContent, undefined, { timeout: 30_000 });
const settled = async (page) => {
  await firstResult(page);
  await nextFull(page, 0);
};

test('a slider moves the curve, undo takes it back, redo forward', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await settled(page);
    const before = await headline(page);
    let drawn = await fullDrawn(page);
    const slider = page.locator('[data-testid=slider-workload-output-tokens]');
    await slider.fill('800');
    await nextFull(page, drawn);
    const moved = await headline(page);
    assert.notEqual(moved, before);
    await page.waitForURL(/workload\.output_tokens/);
    drawn = await fullDrawn(page);
    await page.locator('body').press('Control+z');
    await nextFull(page, drawn);
    assert.equal(await headline(page), before);
    drawn = await fullDrawn(page);
    await page.locator('body').press('Control+Shift+Z');
    await nextFull(page, drawn);
    assert.equal(await headline(page), moved);
    assert.deepEqual(errors, []);
  });
});

test('replicas carry more together, and their policies are in the link', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await settled(page);
    const rate = async () => Number((await page.locator('[data-testid=headline] strong').textContent()).match(/[\d.]+/)[0]);
    const one = await rate();
    let drawn = await fullDrawn(page);
    await page.getByLabel('Replicas', { exact: true }).fill('4');
    await page.getByLabel('Replicas', { exact: true }).press('Enter');
    await nextFull(page, drawn);
    const four = await rate();
    assert.ok(four > 3 * one && four < 5 * one, `${four} of four against ${one} of one`);
    assert.match(await page.locator('.answer .deployment').textContent(), /4 replicas of/);
    await page.getByLabel('Routing', { exact: true }).selectOption('least-loaded');
    await page.waitForURL(/cluster\.num_replicas=4.*cluster\.routing\.policy=least-loaded/);
    await screenshot(page, 'cluster');
    assert.deepEqual(errors, []);
  });
});

test('reload, a copied link, back and forward restore scenario and view', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await settled(page);
    await page.getByLabel('TTFT at most', { exact: true }).fill('250');
    await page.locator('input[name=percentile][value=p99]').check();
    await page.getByRole('tab', { name: 'Memory' }).click();
    await page.waitForURL(/slo\.ttft_ms=250/);
    await page.waitForURL(/view\.tab=memory/);
    await page.reload();
    await answered(page);
    assert.equal(await page.getByLabel('TTFT at most', { exact: true }).inputValue(), '250');
    assert.equal(await page.getByRole('tab', { name: 'Memory' }).getAttribute('aria-selected'), 'true');
    const copied = page.url();
    const other = await open(browser, copied);
    await answered(other.page);
    assert.equal(await headline(other.page), await headline(page));
    await page.getByRole('radio', { name: '2', exact: true }).check({ force: true });
    await page.waitForURL(/tensor_parallel_size=2/);
    await page.goBack();
    await page.waitForFunction(() => document.querySelector('input[name=tensor-parallel-size]:checked')?.value === '1');
    await page.goForward();
    await page.waitForFunction(() => document.querySelector('input[name=tensor-parallel-size]:checked')?.value === '2');
    assert.deepEqual([...errors, ...other.errors], []);
  });
});

test('fields take engineers\' numbers, keep what they cannot use and say why', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await settled(page);
    const field = page.getByLabel('max_num_batched_tokens', { exact: true });
    await field.fill('8k');
    await field.press('Tab');
    assert.equal(await field.inputValue(), '8000');
    await field.fill('abc');
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
    await page.getByText('`abc` is not a number', { exact: false }).waitFor();
    assert.equal(await field.inputValue(), 'abc');
    const seqs = page.getByLabel('max_num_seqs', { exact: true });
    await seqs.fill('0');
    await page.waitForFunction(() => document.querySelector('#engine-max-num-seqs-problems .error') !== null);
    assert.match(await headline(page), /req\/s/, 'the last result stays on the screen');
    await seqs.fill('128');
    await page.waitForFunction(() => document.querySelector('#engine-max-num-seqs-problems .error') === null);
    await seqs.press('Shift+ArrowUp');
    assert.ok(Number(await seqs.inputValue()) > 130);
    assert.deepEqual(errors, []);
  });
});

test('a damaged link warns and the rest of it counts', { timeout: 90_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const fragment = '#v1;1;model-version=1;slo.ttft_ms=250;slo.from_the_future=1';
    const { page, errors } = await open(browser, address, { fragment });
    await settled(page);
    await page.getByText('not a field this version knows', { exact: false }).waitFor();
    assert.equal(await page.getByLabel('TTFT at most', { exact: true }).inputValue(), '250');
    assert.deepEqual(errors, []);
  });
});
