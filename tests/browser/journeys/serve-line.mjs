// The server of somebody's own: pasted as the line that starts it, or moved over from the rules of an old link.

import assert from 'node:assert/strict';
import test from 'node:test';
import { atRest } from '../scenes.mjs';
import { open, withSite } from '../harness.mjs';

const secret = 's3cret';
const line = `vllm serve meta-llama/Llama-3.1-8B-Instruct --max-num-seqs 512 --max-num-batched-tokens 16k \\
  --no-enable-prefix-caching --swap-space 4 --enforce-eager --host 0.0.0.0 --api-key ${secret}`;

const result = '[data-testid=serve-line-result]';
const paste = async (page, text) => {
  await page.getByRole('button', { name: 'Paste a vllm serve line' }).click();
  await page.locator('#serve-line-text').fill(text);
  await page.getByRole('button', { name: 'Use this server' }).click();
};
const value = (page, label) => page.getByLabel(label, { exact: true }).inputValue();
const settings = async (page) => ({
  max_num_seqs: await value(page, 'max_num_seqs'),
  max_num_batched_tokens: await value(page, 'max_num_batched_tokens'),
  enable_prefix_caching: await page.getByLabel('enable_prefix_caching', { exact: true }).isChecked(),
});

// Everything that is kept or shown: the document with what its fields hold, the address, and what a visit leaves behind.
const everything = (page) =>
  page.evaluate(() =>
    [
      document.documentElement.outerHTML,
      ...[...document.querySelectorAll('input, textarea')].map(({ value }) => value),
      location.href,
      JSON.stringify(history.state),
      JSON.stringify({ ...localStorage }),
      JSON.stringify({ ...sessionStorage }),
    ].join('\n'),
  );

test('a pasted line becomes the server, says what it does not do, and is one step to undo', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address);
    await atRest(page);
    const [before, link] = [await settings(page), page.url()];
    await paste(page, line);
    await page.locator(result).waitFor({ timeout: 30_000 });
    const said = await page.locator(result).innerText();
    for (const words of [/max_num_seqs\s+default \(\d+\) → 512/, /→ 16000\s+--max-num-batched-tokens/, /true → false\s+--no-enable-prefix-caching/, /--swap-space went in 0\.18\. /, /not modelled[^.]*--enforce-eager/i, /not known here[^.]*--host, --api-key/i]) {
      assert.match(said, words);
    }
    assert.ok(!(await everything(page)).includes(secret), 'the secret is nowhere');
    await page.getByRole('button', { name: 'Done' }).click();
    assert.deepEqual(await settings(page), { max_num_seqs: '512', max_num_batched_tokens: '16,000', enable_prefix_caching: false });
    await page.waitForURL(/engine\.max_num_seqs=512/);
    await atRest(page);
    assert.ok(!(await everything(page)).includes(secret), 'nor later');
    // The dialog has forgotten the line.
    await page.getByRole('button', { name: 'Paste a vllm serve line' }).click();
    assert.equal(await page.locator('#serve-line-text').inputValue(), '');
    await page.keyboard.press('Escape');
    await page.locator('body').press('Control+z');
    await page.waitForURL((url) => !/max_num_seqs/.test(url.href));
    assert.deepEqual(await settings(page), before);
    assert.equal(page.url().replace(/;view\..*/, ''), link.replace(/;view\..*/, ''));
    assert.deepEqual(requests.filter(({ url, hasBody }) => hasBody || url.includes(secret)), [], 'nothing is sent');
    assert.deepEqual(errors, []);
  });
});

test('what is wrong with a line is told in its place, and undo stands beside the result', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await atRest(page);
    const before = await settings(page);
    await paste(page, `vllm serve \\\n  --max-num-sqs 512 --gpu-memory-utilization 90% \\\n  --api-key ${secret}`);
    const problems = page.locator('#serve-line-problems');
    await problems.locator('.error').first().waitFor({ timeout: 30_000 });
    const said = await problems.innerText();
    assert.match(said, /Line 2, column 3: .*--max-num-sqs.*--max-num-seqs/s);
    assert.match(said, /Line 2, column 21: .*--gpu-memory-utilization.*above 0 and up to 1/s);
    assert.ok(!said.includes(secret));
    assert.deepEqual(await settings(page), before, 'nothing is half-applied');
    // What was written stays, to be mended.
    assert.match(await page.locator('#serve-line-text').inputValue(), /--max-num-sqs/);
    await page.locator('#serve-line-text').fill('vllm serve --max-num-seqs 99');
    await page.getByRole('button', { name: 'Use this server' }).click();
    await page.locator(result).waitFor({ timeout: 30_000 });
    assert.equal(await value(page, 'max_num_seqs'), '99');
    await page.locator(result).getByRole('button', { name: 'Undo' }).click();
    await page.locator(result).waitFor({ state: 'detached' });
    assert.deepEqual(await settings(page), before);
    assert.deepEqual(errors, []);
  });
});

test('an old link keeps its rules, says that there are newer ones, and moves over in one step', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { fragment: '#v1;1;slo.ttft_ms=300' });
    await atRest(page);
    const banner = page.locator('[data-testid=newer-rules]');
    const rules = () => value(page, 'Scheduling rules');
    assert.match(await banner.innerText(), /newer.*max_num_seqs: 256 becomes 1024/s);
    assert.deepEqual([await rules(), await value(page, 'max_num_seqs')], ['reference', '256']);
    await banner.getByRole('button').click();
    await banner.waitFor({ state: 'detached' });
    assert.match(await page.locator('.toast').first().innerText(), /max_num_seqs: 256 becomes 1024/);
    assert.deepEqual([await rules(), await value(page, 'max_num_seqs')], ['vllm-v1', '']);
    await page.waitForURL(/v1;2;[^#]*slo\.ttft_ms=300/);
    assert.doesNotMatch(page.url(), /reference/);
    await page.locator('.toast').getByRole('button', { name: 'Undo' }).click();
    await banner.waitFor();
    assert.deepEqual([await rules(), await value(page, 'max_num_seqs')], ['reference', '256']);
    assert.deepEqual(errors, []);
  });
});
