// Logs in, coefficients out: everything happens in the tab, and nothing that was given is lost.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { dropFiles as drop, firstResult, open, phone, screenshot, withSite } from '../harness.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const example = (name) => readFileSync(join(root, 'web/src/lab/calibrate/example', name), 'utf8');
const at = (page, id) => page.locator(`[data-testid=${id}]`);
const file = (name, text) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(text) });

// A server that takes a tenth of a second for each request, one after the other: 5 come per second, but 20 from 20 to
// 30 s. A hundred are left over then, which 10 ended and 5 sent per second work off until 50 s.
const overloaded = () => {
  const lines = [];
  let [at, free] = [0, 0];
  for (let index = 0; index < 500; index += 1) {
    at += index >= 100 && index < 300 ? 0.05 : 0.2;
    const start = Math.max(at, free);
    free = start + 0.1;
    const times = { queued_ts: at, scheduled_ts: start, first_token_ts: start + 0.02, last_token_ts: free };
    lines.push(JSON.stringify({ request_id: `bench-${index}`, input_toks: 100, output_toks: 9, arrival_time: at, ...times }));
  }
  return lines.join('\n');
};

const config = `seed: 7
kv_blocks: 9999
error_function: mape
pbounds:
  beta0: [1, 20]
  beta1: [0, 1]
scaling: { beta0: 1000, beta1: 100 }
train_config: { num_prompts: [500] }
test_config: { num_prompts: [300, 77] }
`;

const tab = async (page) => {
  await page.getByRole('tab', { name: 'Calibrate' }).click();
  await at(page, 'calibrate-example').waitFor({ timeout: 30_000 });
};

const evaluations = async (page, count) => {
  const options = at(page, 'calibrate-options');
  if (!(await options.evaluate((element) => element.open))) await options.locator('summary').click();
  const field = page.getByLabel('Evaluations', { exact: true });
  await field.fill(String(count));
  await field.press('Tab');
};

const status = (page) => at(page, 'calibrate-status').textContent();
const ended = (page, word) =>
  page.waitForFunction(
    (start) => document.querySelector('[data-testid=calibrate-status]')?.textContent.startsWith(start),
    word,
    { timeout: 120_000 },
  );

test('a dropped log is recognized, fitted, applied, and the curve follows; nothing is sent', { timeout: 240_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address);
    await page.waitForFunction(() => performance.getEntriesByName('plimsoll:settled-drawn').length > 0, undefined, { timeout: 60_000 });
    await tab(page);
    await screenshot(page, 'calibrate-empty');
    const loaded = requests.length;
    await page.getByRole('tab', { name: 'Curve' }).click();
    await drop(page, [
      { name: 'requests.jsonl', text: example('requests.jsonl') },
      { name: 'meta.json', text: example('meta.json') },
    ]);
    await page.waitForURL(/view\.tab=calibrate/);
    await page.getByText('300 requests', { exact: false }).waitFor({ timeout: 30_000 });
    await page.waitForFunction(() => document.querySelector('#server-max_num_seqs')?.value === '128', undefined, { timeout: 30_000 });
    assert.equal(await page.locator('#server-accelerator').inputValue(), 'H100');
    assert.equal(await page.locator('.fact[data-origin=guess] #server-accelerator').count(), 1, 'a guess is shown as one');
    await page.locator('#server-accelerator').fill('RTX-PRO-6000-server');
    await page.locator('#server-accelerator').press('Tab');
    await page.waitForFunction(() => document.querySelector('[data-origin="said by you"] #server-accelerator'), undefined, { timeout: 10_000 });
    await evaluations(page, 1200);
    await at(page, 'calibrate-fit').click();
    await at(page, 'calibrate-overlay').waitFor();
    await page.waitForFunction(
      () => document.querySelectorAll('[data-testid=calibrate-overlay] .keys li').length === 2
        && /of 1,200 evaluations/.test(document.querySelector('[data-testid=calibrate-status]').textContent),
      undefined,
      { timeout: 60_000 },
    );
    await screenshot(page, 'calibrate-fitting');
    await ended(page, 'Done');
    assert.match(await status(page), /1,200 evaluations/);
    await page.waitForFunction(() => /TPOT \d/.test(document.querySelector('[data-testid=calibrate-headline]')?.textContent ?? ''));
    const headline = await at(page, 'calibrate-headline').textContent();
    const error = Number(headline.match(/TPOT ([\d.]+) %/)[1]);
    assert.ok(error < 10, headline);
    await screenshot(page, 'calibrate-result');
    await at(page, 'calibrate-apply').click();
    // The address is written behind the answer; with the fit in it, it is packed.
    await page.waitForURL(/;z=/);
    await page.waitForFunction(
      () => /calibrated on requests\.jsonl/.test(document.querySelector('.basis summary')?.textContent ?? ''),
      undefined,
      { timeout: 60_000 },
    );
    await page.waitForFunction(() => /req\/s/.test(document.querySelector('[data-testid=headline]')?.textContent ?? ''));
    await screenshot(page, 'calibrate-applied');
    // The link alone gives the calibrated curve, the logs are not in it.
    const other = await open(browser, page.url());
    await other.page.waitForFunction(
      () => /calibrated on requests\.jsonl/.test(document.querySelector('.basis summary')?.textContent ?? ''),
      undefined,
      { timeout: 60_000 },
    );
    // What lies in the page's own memory is not asked of anybody.
    const later = requests.slice(loaded).filter(({ url }) => !url.startsWith('blob:') && !url.startsWith('data:'));
    assert.deepEqual(later, [], 'no request at all once the files of the page are here');
    assert.ok(requests.every(({ url, hasBody }) => !hasBody && new URL(url).origin === new URL(address).origin || url.startsWith('blob:')));
    assert.deepEqual([...errors, ...other.errors], []);
  });
});

test('a malformed log says where and why, and the others stay', { timeout: 120_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await tab(page);
    const good = example('requests.jsonl');
    const lines = good.split('\n');
    lines[4] = lines[4].replace(/"output_toks": \d+/, '"output_toks": -5');
    await at(page, 'calibrate-open').setInputFiles([
      file('good.jsonl', good),
      file('bad.jsonl', lines.join('\n')),
      file('cut.json', '{"model_id": "a", "num_prompts": 3, "ttfts": [0.1, 0.2'),
      file('notes.txt', 'just some words\n'),
    ]);
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=calibrate-file] .error').length >= 3, undefined, { timeout: 30_000 });
    const bad = at(page, 'calibrate-file').filter({ hasText: 'bad.jsonl' });
    assert.match(await bad.textContent(), /5/, 'the line is named');
    assert.match(await bad.textContent(), /output/i);
    assert.match(await at(page, 'calibrate-file').filter({ hasText: 'cut.json' }).textContent(), /ends|truncated/i);
    assert.match(await at(page, 'calibrate-fit').textContent(), /Fit 1 run/, 'the good one can be fitted');
    await screenshot(page, 'calibrate-problems');
    await bad.getByRole('button', { name: 'Remove' }).click();
    assert.equal(await at(page, 'calibrate-file').count(), 3);
    assert.deepEqual(errors, []);
  });
});

test('a log given before the readers have loaded is read once they have', { timeout: 120_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    let release;
    const released = new Promise((resolve) => { release = resolve; });
    await page.route(/reader_bg/, async (route) => {
      await released;
      await route.continue();
    });
    await tab(page);
    await at(page, 'calibrate-open').setInputFiles([file('good.jsonl', example('requests.jsonl'))]);
    await at(page, 'calibrate-file').waitFor();
    assert.equal(await at(page, 'calibrate-fit').isDisabled(), true);
    release();
    await page.waitForFunction(() => /Fit 1 run/.test(document.querySelector('[data-testid=calibrate-fit]')?.textContent ?? ''), undefined, { timeout: 30_000 });
    assert.deepEqual(errors, []);
  });
});

test('Stop keeps the best, and a saved study goes on where it was left', { timeout: 240_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { viewport: phone, colorScheme: 'dark' });
    await tab(page);
    await screenshot(page, 'calibrate-empty-phone');
    await at(page, 'calibrate-example').click();
    await page.getByText('300 requests', { exact: false }).waitFor({ timeout: 30_000 });
    await evaluations(page, 20_000);
    await at(page, 'calibrate-fit').click();
    await page.waitForFunction(
      () => /^(\d{3,}|\d+,\d{3}) of/.test(document.querySelector('[data-testid=calibrate-status]')?.textContent ?? ''),
      undefined,
      { timeout: 60_000 },
    );
    await at(page, 'calibrate-stop').click();
    await ended(page, 'Stopped');
    const kept = Number((await status(page)).match(/best loss ([\d.,]+)/)[1].replace(',', ''));
    await page.waitForFunction(() => /TPOT \d/.test(document.querySelector('[data-testid=calibrate-headline]')?.textContent ?? ''), undefined, { timeout: 30_000 });
    await screenshot(page, 'calibrate-phone-dark');
    const save = async (id) => {
      const [download] = await Promise.all([page.waitForEvent('download'), at(page, id).click()]);
      return { name: download.suggestedFilename(), text: readFileSync(await download.path(), 'utf8') };
    };
    // The file holds the intervals once they are measured, which is after the search.
    await page.waitForFunction(
      () => /Intervals hold/.test(document.querySelector('[data-testid=calibrate-identifiability]')?.textContent ?? ''),
      undefined,
      { timeout: 60_000 },
    );
    const fit = await save('calibrate-download');
    assert.equal(fit.name, 'fit.yaml');
    assert.match(fit.text, /^fit_version: 1\n/);
    assert.match(fit.text, /\nintervals:\n- name: \w+\n  ends:\n  - [\d.e-]+\n/);
    const study = await save('calibrate-study');
    assert.equal(study.name, 'study.json');
    assert.ok(JSON.parse(study.text).trials.length >= 100);

    const { page: later, errors: laterErrors } = await open(browser, address);
    await firstResult(later);
    await drop(later, [{ name: 'study.json', text: study.text }]);
    await ended(later, 'Stopped');
    await evaluations(later, 300);
    await at(later, 'calibrate-go-on').click();
    await ended(later, 'Done');
    const reached = Number((await status(later)).match(/best loss ([\d.,]+)/)[1].replace(',', ''));
    assert.ok(reached <= kept, `${reached} after ${kept}`);
    await screenshot(later, 'calibrate-continued');

    // The file of a fit says what it is before it is put into the curve, without any log.
    const { page: other, errors: otherErrors } = await open(browser, address);
    await firstResult(other);
    await drop(other, [{ name: 'fit.yaml', text: fit.text }]);
    const card = at(other, 'calibrate-fit-file');
    await card.waitFor({ timeout: 30_000 });
    assert.match(await card.textContent(), /fitted to requests\.jsonl \(300 requests\) of .*Llama-3\.1-8B.*It stands for prompts of .*Mean errors on these logs: TTFT/);
    assert.ok(!/calibrated/.test(await other.locator('.basis summary').textContent()), 'nothing is applied yet');
    assert.match(await card.textContent(), /95 % interval.*\d – \d/, 'the intervals of the file are shown');
    await screenshot(other, 'calibrate-fit-file');
    await at(other, 'calibrate-apply-file').click();
    await other.waitForFunction(
      () => /calibrated on requests\.jsonl/.test(document.querySelector('.basis summary')?.textContent ?? ''),
      undefined,
      { timeout: 60_000 },
    );
    await drop(other, [{ name: 'fit.yaml', text: fit.text.replace('beta:', 'bata:') }]);
    await other.locator('[data-testid=lab-calibrate] .problem.error').filter({ hasText: 'fit.yaml' }).first().waitFor({ timeout: 30_000 });
    assert.deepEqual([...errors, ...laterErrors, ...otherErrors], []);
  });
});

test('the published experiment is fitted from its start, and what it cannot tell is said', { timeout: 120_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await tab(page);
    await at(page, 'calibrate-experiment').click();
    const card = at(page, 'calibrate-experiment-card');
    await card.waitFor({ timeout: 30_000 });
    assert.match(await card.textContent(), /Recorded.*Taken for granted.*cannot tell/);
    await page.waitForFunction(() => /TTFT \d/.test(document.querySelector('[data-testid=calibrate-headline]')?.textContent ?? ''), undefined, { timeout: 30_000 });
    const error = async () => Number((await at(page, 'calibrate-headline').textContent()).match(/E2E ([\d.]+) %/)[1]);
    const start = await error();
    await evaluations(page, 2000);
    await at(page, 'calibrate-fit').click();
    await ended(page, 'Done');
    await page.waitForFunction(
      (before) => Number((document.querySelector('[data-testid=calibrate-headline]')?.textContent ?? '').match(/E2E ([\d.]+) %/)?.[1]) < before,
      start,
      { timeout: 30_000 },
    );
    await screenshot(page, 'calibrate-experiment');
    assert.deepEqual(errors, []);
  });
});

test('a configuration of 2025 is put into the options; overloads are told, marked and left out', { timeout: 240_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await drop(page, [{ name: 'optimizer.yaml', text: config.replace('beta1: [0, 1]', 'beta1: [1, 0]') }]);
    await page.waitForURL(/view\.tab=calibrate/);
    const problem = page.locator('[data-testid=lab-calibrate] .problem.error').filter({ hasText: 'optimizer.yaml:6:' });
    await problem.first().waitFor({ timeout: 30_000 });
    assert.match(await problem.first().textContent(), /low <= high/, 'with a hint');
    await drop(page, [{ name: 'optimizer.yaml', text: config }]);
    const card = at(page, 'calibrate-config');
    await card.waitFor({ timeout: 30_000 });
    assert.match(await card.textContent(), /black box α, β; 2 coefficients searched.*Objective: mape.*Seed of the search: 7\..*9,999.*as soon as logs are open/);
    assert.equal(await problem.count(), 0, 'what was wrong before is gone');

    await drop(page, [
      { name: 'overloaded.jsonl', text: overloaded() },
      { name: 'requests.jsonl', text: example('requests.jsonl') },
    ]);
    await page.getByText('Of 2 runs it has 1 fitted, 1 kept aside and 0 left out.').waitFor({ timeout: 30_000 });
    assert.match(await card.textContent(), /no log is a run of num_prompts 77/i);
    const uses = await at(page, 'calibrate-use').evaluateAll((all) => all.map((select) => select.value));
    assert.deepEqual(uses, ['fit', 'aside']);
    await page.waitForFunction(
      () => document.querySelector('[data-origin="from the configuration"] #server-num_gpu_blocks')?.value === '9999',
      undefined,
      { timeout: 10_000 },
    );
    assert.match(await at(page, 'calibrate-file').first().textContent(), /Overloaded from (19|20)\.\d to (49|50)\.\d s: 200 requests were sent while 100 ended\./);
    assert.doesNotMatch(await at(page, 'calibrate-file').last().textContent(), /Overloaded/);
    await evaluations(page, 300);
    const chosen = (id) => page.locator(`#calibrate-${id}`);
    assert.deepEqual(
      [await chosen('model').inputValue(), await chosen('objective').inputValue(), await chosen('seed').inputValue()],
      ['blackbox', 'mape', '7'],
    );
    assert.ok(!(await chosen('weight-ttft').isVisible()), 'mape has no weights');
    await screenshot(page, 'calibrate-config');
    await at(page, 'calibrate-fit').click();
    await ended(page, 'Done');
    const overloads = at(page, 'calibrate-overloads');
    await overloads.getByText('They count', { exact: false }).waitFor({ timeout: 30_000 });
    assert.match(await overloads.textContent(), /^overloaded\.jsonl: overloaded from (19|20)\.\d to (49|50)\.\d s: 200 requests were sent while 100 ended\. They count/);
    const chart = at(page, 'calibrate-residuals');
    assert.match(await chart.locator('path.overload').getAttribute('d'), /^M[\d.]+ 0H/);
    assert.equal(await chart.locator('.keys .overload').count(), 1);
    await screenshot(page, 'calibrate-overload');
    await chart.locator('input[value=input]').check();
    await page.waitForFunction(() => !document.querySelector('[data-testid=calibrate-residuals] .keys .overload'));

    // Other requests count now, so the loss is another one and there is nothing to go on with.
    assert.ok(await at(page, 'calibrate-go-on').isVisible());
    await chosen('overload').selectOption('exclude');
    assert.ok(!(await at(page, 'calibrate-go-on').isVisible()));
    await chosen('aside').fill('20');
    await chosen('objective').selectOption('log-ratio');
    await chosen('weight-tpot').fill('0');
    await chosen('optimizer').selectOption('tpe');
    assert.equal(await chosen('budget').inputValue(), '300', 'a number that was given stays');
    await chosen('budget').fill('');
    await chosen('budget').press('Tab');
    assert.equal(await chosen('budget').inputValue(), '1000', 'the usual one of this optimizer');
    await evaluations(page, 60);
    await screenshot(page, 'calibrate-options');
    await at(page, 'calibrate-fit').click();
    await ended(page, 'Done');
    await overloads.getByText('do not count', { exact: false }).waitFor({ timeout: 30_000 });
    await at(page, 'calibrate-errors').getByText('its end, kept aside').first().waitFor({ timeout: 30_000 });
    const [download] = await Promise.all([page.waitForEvent('download'), at(page, 'calibrate-study').click()]);
    const { task } = JSON.parse(readFileSync(await download.path(), 'utf8'));
    const { optimizer, weights, overload, validate_last: aside } = task.settings;
    assert.deepEqual([optimizer, weights.tpot, overload, aside], ['tpe', 0, 'exclude', 0.2]);
    const beta0 = task.space.parameters.find(({ name }) => name === 'beta0');
    assert.deepEqual([beta0.low, beta0.high, beta0.scale], [1, 20, 1000], 'the bounds of the configuration');
    assert.deepEqual(errors, []);
  });
});
