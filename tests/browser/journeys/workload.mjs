// What the workload will generate, shown by the lab, which is loaded when its tab is opened.

import assert from 'node:assert/strict';
import test from 'node:test';
import { desktop, firstResult, open, phone, screenshot, withSite } from '../harness.mjs';

const summary = '[data-testid=workload-summary] h2';

const opened = async (page) => {
  await page.getByRole('tab', { name: 'Workload' }).click();
  await page.waitForFunction((selector) => /requests over/.test(document.querySelector(selector)?.textContent ?? ''), summary, { timeout: 60_000 });
};

test('the lab is loaded with its first tab, follows the sliders and keeps the page offline', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address);
    await firstResult(page);
    assert.deepEqual(requests.filter(({ url }) => /\/lab[-_]/.test(url)), [], 'the first visit does not load it');
    await opened(page);
    assert.equal(requests.filter(({ url }) => /\/lab[-_]/.test(url)).length, 2);
    for (const id of ['input-tokens', 'output-tokens', 'arrivals']) {
      assert.match(await page.locator(`[data-testid=${id}] .barplot path.fill`).getAttribute('d'), /^M/, `${id} has bars`);
    }
    await screenshot(page, 'workload-desktop');
    const mean = () => page.locator('[data-testid=input-tokens] .figures dd').first().textContent();
    const before = await mean();
    await page.locator('#workload-input-tokens').fill('3000');
    await page.waitForFunction(
      (text) => document.querySelector('[data-testid=input-tokens] .figures dd').textContent !== text,
      before,
      { timeout: 30_000 },
    );
    assert.ok(Number((await mean()).replaceAll(/\D/g, '')) > 2000, await mean());
    await page.locator('#workload-rate').fill('5');
    const said = await page.waitForFunction(() => {
      const level = document.querySelector('[data-testid=arrivals] span.level')?.textContent ?? '';
      const problem = document.querySelector('[data-testid=lab-workload] .problem.error:not([hidden])')?.textContent;
      return problem || (/asked 5\.00 req\/s/.test(level) && 'as asked');
    }, undefined, { timeout: 30_000 });
    assert.equal(await said.jsonValue(), 'as asked');
    await page.locator('[data-testid=arrivals]').getByRole('button').click();
    assert.equal(await page.locator('[data-testid=arrivals] tbody tr').count(), 60);
    assert.match(new URL(page.url()).hash, /view\.tab=workload/);
    assert.deepEqual(requests.filter(({ url, hasBody }) => hasBody || !(url.startsWith(address) || url.startsWith('blob:'))), []);
    assert.deepEqual(errors, []);
  });
});

test('tabs are reached by keyboard, in dark and on a phone', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const dark = await open(browser, address, { colorScheme: 'dark', viewport: desktop });
    await dark.page.getByRole('tab', { name: 'Memory' }).focus();
    await dark.page.getByRole('tab', { name: 'Curves' }).focus();
    await dark.page.keyboard.press('ArrowRight');
    await dark.page.keyboard.press('ArrowRight');
    await dark.page.keyboard.press('ArrowRight');
    assert.equal(await dark.page.getByRole('tab', { name: 'Workload' }).getAttribute('aria-selected'), 'true');
    await opened(dark.page);
    await screenshot(dark.page, 'workload-dark');
    const small = await open(browser, address, { viewport: phone, fragment: '#v1;1;view.tab=workload' });
    await small.page.waitForFunction((selector) => /requests over/.test(document.querySelector(selector)?.textContent ?? ''), summary, { timeout: 60_000 });
    const width = await small.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= phone.width, `the page is ${width} px wide`);
    await screenshot(small.page, 'workload-phone');
    assert.deepEqual([...dark.errors, ...small.errors], []);
  });
});

test('a lab that cannot be loaded says so and is loaded on a second try', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page } = await open(browser, address);
    await firstResult(page);
    await page.route('**/lab_bg-*.wasm*', (route) => route.fulfill({ status: 503, body: '' }));
    await page.getByRole('tab', { name: 'Workload' }).click();
    await page.getByRole('alert').filter({ hasText: 'does not work' }).waitFor();
    await page.unroute('**/lab_bg-*.wasm*');
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.waitForFunction((selector) => /requests over/.test(document.querySelector(selector)?.textContent ?? ''), summary, { timeout: 60_000 });
  });
});

const specification = `version: "2"
aggregate_rate: 8.0
clients:
  - id: short
    rate_fraction: 0.75
    slo_class: critical
    arrival: { process: poisson }
    input_distribution: { type: constant, params: { value: 100 } }
    output_distribution: { type: constant, params: { value: 50 } }
  - id: long
    rate_fraction: 0.25
    arrival: { process: gamma, cv: 2.0 }
    input_distribution: { type: gaussian, params: { mean: 4000, std_dev: 800, min: 10, max: 9000 } }
    output_distribution: { type: exponential, params: { mean: 200 } }
`;

test('a mix of clients from a file is shown by client and disables what it replaces', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await page.locator('#file').setInputFiles({ name: 'mix.yaml', mimeType: 'text/yaml', buffer: Buffer.from(specification) });
    await page.getByText('A mix of 2 clients').waitFor({ timeout: 60_000 });
    assert.ok(await page.locator('#workload-input-tokens').isDisabled());
    await opened(page);
    await page.locator('[data-testid=clients] tbody tr').nth(1).waitFor();
    assert.match(await page.locator('[data-testid=clients] tbody tr').first().textContent(), /short.*critical/);
    await screenshot(page, 'workload-mix');
    assert.deepEqual(errors, []);
  });
});

const rows = Array.from({ length: 600 }, (_, index) => `${index},${index * 100_000},${200 + (index % 7) * 50},${80 + (index % 5) * 20}`);
const trace = `request_id,arrival_us,input_tokens,output_tokens\n${rows.join('\n')}\n`;
const file = (name, text) => ({ name, mimeType: 'text/plain', buffer: Buffer.from(text) });

test('a trace is looked at first, cut to a window, and taken over in one click', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address);
    await firstResult(page);
    await opened(page);
    await page.locator('#file').setInputFiles(file('day.txt', trace));
    await page.getByText(/Looking at day\.txt: 600 requests over 59\.9/).waitFor({ timeout: 30_000 });
    const says = (text) => page.waitForFunction(
      ([selector, wanted]) => document.querySelector(selector)?.textContent.startsWith(wanted),
      [summary, text],
      { timeout: 30_000 },
    );
    await says('600 requests');
    assert.equal(await page.locator('.editor .chip').count(), 0, 'the scenario is as it was');
    await page.locator('#trace-to').fill('30');
    await says('300 requests');
    await page.locator('#trace-scale').fill('0.5');
    await says('300 requests over 59.8 s');
    await screenshot(page, 'workload-trace');
    await page.getByRole('button', { name: 'Use this workload' }).click();
    await page.locator('.editor .chip').filter({ hasText: 'day.txt' }).waitFor({ timeout: 60_000 });
    await page.waitForFunction(() => /window_s/.test(decodeURIComponent(location.hash)), undefined, { timeout: 30_000 });

    // What was taken over can be changed: its part stands there, and another one is taken in one click.
    await page.getByText(/Replaying day\.txt: 600 requests over 59\.9/).waitFor({ timeout: 30_000 });
    assert.equal(await page.locator('#trace-to').inputValue(), '30');
    assert.equal(await page.locator('#trace-scale').inputValue(), '0.5');
    assert.equal(await page.getByRole('button', { name: 'Use this part' }).count(), 0, 'nothing is changed yet');
    await page.locator('#trace-from').fill('10');
    await says('200 requests');
    await page.getByRole('button', { name: 'Use this part' }).click();
    await page.waitForFunction(() => /window_s=\[10,30\]|"window_s":\[10(\.0)?,30/.test(decodeURIComponent(location.hash)), undefined, { timeout: 30_000 });
    await page.getByRole('button', { name: 'Use this part' }).waitFor({ state: 'detached' });
    await screenshot(page, 'workload-replayed');
    assert.deepEqual(requests.filter(({ hasBody }) => hasBody), [], 'nothing is sent');
    assert.deepEqual(errors, []);
  });
});

test('a trace opened on the first tab is known to the lab, one of an earlier scenario too', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    const replayed = async (name, text) => {
      await page.locator('#file').setInputFiles(file(name, text));
      await page.locator('.editor .chip').filter({ hasText: name }).waitFor({ timeout: 60_000 });
    };
    await replayed('short.txt', trace.split('\n').slice(0, 301).join('\n'));
    await replayed('day.txt', trace);
    await opened(page);
    await page.locator('[data-testid=offer]').getByText(/Replaying day\.txt: 600 requests/).waitFor({ timeout: 30_000 });
    await page.getByRole('tab', { name: 'Run' }).click();
    await page.waitForFunction(() => /^600 requests/.test(document.querySelector('[data-testid=run-summary] h2')?.textContent ?? ''), undefined, { timeout: 60_000 });
    await page.keyboard.press('Control+z');
    await page.waitForFunction(() => /^300 requests/.test(document.querySelector('[data-testid=run-summary] h2')?.textContent ?? ''), undefined, { timeout: 60_000 });
    assert.equal(await page.locator('[data-testid=lab-run] .problems .problem').count(), 0);
    assert.deepEqual(errors, []);
  });
});

test('what cannot be read is said with its line, and a ready mix becomes the workload', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address);
    await firstResult(page);
    await opened(page);
    await page.locator('#file').setInputFiles(file('wrong.yaml', specification.replace('rate_fraction: 0.75', 'rate_fractoin: 0.75')));
    await page.locator('[data-testid=offer] .problem').filter({ hasText: 'wrong.yaml:5' }).waitFor({ timeout: 30_000 });
    await page.getByRole('button', { name: 'SLO classes' }).click();
    await page.getByText('Looking at the workload of mixed-slo.yaml').waitFor({ timeout: 30_000 });
    await page.getByRole('button', { name: 'Use this workload' }).click();
    await page.getByText(/A mix of \d+ clients/).waitFor({ timeout: 30_000 });
    await page.locator('[data-testid=clients] tbody tr').nth(1).waitFor();
    assert.deepEqual(errors, []);
  });
});
