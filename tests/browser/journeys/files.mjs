// Traces, model configurations and own accelerators, all read in the tab.

import assert from 'node:assert/strict';
import test from 'node:test';
import { firstResult, open, withSite } from '../harness.mjs';

const rows = Array.from({ length: 1500 }, (_, index) => `${index},${index * 90_000},${200 + (index % 7) * 50},${80 + (index % 5) * 20}`);
const trace = `request_id,arrival_us,input_tokens,output_tokens\n${rows.join('\n')}\n`;

test('a trace is replayed and a malformed one is refused with its line', { timeout: 120_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address);
    await firstResult(page);
    const before = await page.locator('[data-testid=headline]').textContent();
    await page.locator('#file').setInputFiles({ name: 'day.csv', mimeType: 'text/csv', buffer: Buffer.from(trace) });
    await page.locator('.chip').waitFor();
    await page.waitForFunction(
      (text) => {
        const now = document.querySelector('[data-testid=headline]').textContent;
        return now !== text && /req\/s/.test(now);
      },
      before,
      { timeout: 30_000 },
    );
    const bad = trace.replace('\n7,', '\nseven,');
    await page.locator('#file').setInputFiles({ name: 'bad.csv', mimeType: 'text/csv', buffer: Buffer.from(bad) });
    await page.getByText(/bad\.csv:9/).first().waitFor();
    assert.match(await page.locator('.chip').textContent(), /day\.csv/, 'nothing is half-loaded');
    assert.deepEqual(requests.filter(({ hasBody }) => hasBody), [], 'nothing is sent');
    assert.deepEqual(errors, []);
  });
});

test('a pasted config.json and an accelerator of one\'s own are simulated', { timeout: 120_000 }, async () => {
  const config = {
    architectures: ['LlamaForCausalLM'], model_type: 'llama', num_hidden_layers: 16, hidden_size: 2048, num_attention_heads: 32,
    num_key_value_heads: 8, intermediate_size: 8192, vocab_size: 128256, torch_dtype: 'bfloat16', max_position_embeddings: 131072,
    tie_word_embeddings: true, hidden_act: 'silu',
  };
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await page.getByRole('button', { name: 'Paste config.json' }).click();
    await page.getByLabel('Name of the model').fill('my/small');
    await page.locator('#config-text').fill(JSON.stringify(config));
    await page.getByRole('button', { name: 'Use this model' }).click();
    await page.waitForFunction(() => document.querySelector('#model').value.includes('(own)'), undefined, { timeout: 30_000 });
    await page.waitForFunction(() => /small/.test(document.querySelector('.deployment').textContent), undefined, { timeout: 30_000 });
    await page.getByRole('button', { name: 'Define your own' }).click();
    await page.getByLabel('Memory bandwidth').fill('6.7');
    await page.getByRole('button', { name: 'Use this accelerator' }).click();
    await page.waitForFunction(() => document.querySelector('.basis summary')?.textContent === 'extrapolated', undefined, { timeout: 30_000 });
    assert.deepEqual(errors, []);
  });
});
