// One run of the scenario: replicas, the timeline of its requests, its decisions.

import assert from 'node:assert/strict';
import test from 'node:test';
import { desktop, firstResult, open, phone, screenshot, withSite } from '../harness.mjs';

const summary = '[data-testid=run-summary] h2';
const fragment = '#v1;1;view.tab=run;cluster.num_replicas=4;cluster.routing.policy=least-loaded';

const settled = (page, requests) => page.waitForFunction(
  ([selector, text]) => document.querySelector(selector)?.textContent.startsWith(`${text} requests`),
  [summary, requests],
  { timeout: 90_000 },
);

const inked = (page) => page.evaluate(() => {
  const canvas = document.querySelector('.timeline canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let at = 3; at < data.length; at += 4) count += data[at] > 0 ? 1 : 0;
  return count / (data.length / 4);
});

test('a run shows its replicas, its requests and its decisions', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address, { fragment });
    await settled(page, '2,000');
    await page.waitForFunction(() => document.querySelectorAll('[data-testid=replica-rows] tbody tr:not(.space)').length === 4);
    for (const id of ['waiting', 'running', 'kv']) {
      const paths = page.locator(`[data-testid=over-time-${id}] path.line`);
      assert.equal(await paths.count(), 4, `${id} has a line for each replica`);
    }
    const routed = await page.locator('[data-testid=replica-rows] tbody tr:not(.space) td:nth-child(2)').allTextContents();
    const sum = routed.map((text) => Number(text.replaceAll(',', ''))).reduce((left, right) => left + right, 0);
    assert.equal(sum, 2000, 'every request is at exactly one replica');
    assert.ok(await inked(page) > 0.02, 'the timeline shows bars');
    await screenshot(page, 'run-desktop');

    // A better known capacity makes another run: nothing is pointed at before the study has come to rest.
    await page.waitForFunction(() => document.querySelector('[data-testid=progress]')?.textContent === '', undefined, { timeout: 60_000 });
    await page.waitForTimeout(500);
    // Hovering tells a request's numbers.
    const canvas = page.locator('.timeline canvas');
    await canvas.scrollIntoViewIfNeeded();
    const box = await canvas.boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.locator('.tip').waitFor();
    const tip = await page.locator('.tip').textContent();
    assert.match(tip, /Request \d+, replica [0-3]: completed.*prompt tokens.*TTFT [\d.,]+ m?s/);

    // Keys move and zoom; 0 shows the whole run again.
    const whole = await inked(page);
    await canvas.focus();
    for (let step = 0; step < 8; step += 1) await page.keyboard.press('+');
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => true);
    await page.mouse.move(box.x + 5, box.y + box.height + 40);
    await page.keyboard.press('0');
    await page.waitForTimeout(100);
    assert.ok(Math.abs(await inked(page) - whole) < 0.05, 'the whole run is back');

    // Decisions: only the rows in sight exist, the largest regret comes first on demand.
    const rows = page.locator('[data-testid=decision-rows] tbody tr:not(.space)');
    assert.ok(await rows.count() < 80, `${await rows.count()} rows are made`);
    assert.equal(await page.locator('[data-testid=decision-rows] table').getAttribute('aria-rowcount'), '4001');
    assert.match(await page.locator('[data-testid=decision-summary]').textContent(), /2,000 admitted; regret [\d.]+ on average/);
    await page.locator('#decision-order').selectOption('regret');
    await rows.first().click();
    await page.locator('[data-testid=candidates] tbody tr').first().waitFor();
    assert.equal(await page.locator('[data-testid=candidates] tbody tr').count(), 4);
    await page.locator('[data-testid=decision-rows]').evaluate((element) => { element.scrollTop = element.scrollHeight; });
    await page.waitForFunction(() => {
      const rows = [...document.querySelectorAll('[data-testid=decision-rows] tbody tr:not(.space)')];
      return rows.some((row) => row.getAttribute('aria-rowindex') === '2001');
    });

    // Every chart has its table.
    await page.locator('[data-testid=timeline]').getByRole('button', { name: 'Table' }).click();
    assert.equal(await page.locator('[data-testid=request-rows] table').getAttribute('aria-rowcount'), '2001');
    await page.locator('[data-testid=over-time-kv]').getByRole('button', { name: 'Table' }).click();
    await page.locator('[data-testid=over-time-kv] tbody tr:not(.space)').first().waitFor();
    assert.deepEqual(requests.filter(({ url, hasBody }) => hasBody || !(url.startsWith(address) || url.startsWith('blob:'))), []);
    assert.deepEqual(errors, []);
  });
});

test('the timeline of 10,000 requests stays smooth while it is dragged', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { fragment });
    await settled(page, '2,000');
    await page.locator('#run-requests').fill('10000');
    await settled(page, '10,000');
    const canvas = page.locator('.timeline canvas');
    await canvas.scrollIntoViewIfNeeded();
    const box = await canvas.boundingBox();
    // The page's own study has come to rest before anything is measured.
    await page.waitForFunction(() => document.querySelector('[data-testid=progress]')?.textContent === '', undefined, { timeout: 60_000 });
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.wheel(0, -200);
    await page.evaluate(() => performance.clearMarks('plimsoll:timeline-drawn'));
    await page.mouse.down();
    for (let step = 0; step < 120; step += 1) {
      await page.mouse.move(box.x + box.width / 2 + 150 * Math.sin(step / 12), box.y + box.height / 2 + 60 * Math.cos(step / 9));
    }
    await page.mouse.up();
    const took = await page.evaluate(() => performance.getEntriesByName('plimsoll:timeline-drawn').map(({ detail }) => detail.job / 1000));
    took.sort((left, right) => left - right);
    const at = (share) => took[Math.min(took.length - 1, Math.floor(share * took.length))];
    console.log(`timeline of 10,000 requests: ${took.length} frames, drawn in ${at(0.5)} ms (median), ${at(0.95)} ms (95th percentile)`);
    assert.ok(took.length >= 20, `${took.length} frames were drawn`);
    // A frame of 60 a second is 16.7 ms; the median leaves room for a machine that is busy with something else.
    assert.ok(at(0.5) < 12, `a frame takes ${at(0.5)} ms`);
    assert.deepEqual(errors, []);
  });
});

test('a cluster of several shows its curves per replica on demand', { timeout: 120_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, errors } = await open(browser, address, { fragment: '#v1;1;cluster.num_replicas=4' });
    await firstResult(page);
    const chart = page.locator('[data-testid^=chart-]').first();
    await chart.getByRole('button', { name: 'Table' }).click();
    await page.waitForFunction(() => document.querySelector('[data-testid=progress]')?.textContent === '', undefined, { timeout: 60_000 });
    const last = async () => Number((await chart.locator('tbody th').last().textContent()).replaceAll(',', ''));
    const whole = await last();
    await page.getByLabel("Rates per replica instead of the cluster's total").check();
    const part = await last();
    assert.ok(Math.abs(whole / part - 4) < 0.05, `${whole} of the cluster, ${part} of a replica`);
    await screenshot(page, 'curve-per-replica');
    assert.deepEqual(errors, []);
  });
});

test('two fingers zoom into the timeline, one moves it', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const { page, context, errors } = await open(browser, address, { viewport: phone, fragment });
    await settled(page, '2,000');
    await page.waitForFunction(() => document.querySelector('[data-testid=progress]')?.textContent === '', undefined, { timeout: 60_000 });
    const canvas = page.locator('.timeline canvas');
    await canvas.scrollIntoViewIfNeeded();
    const { x, y, width, height } = await canvas.boundingBox();
    const session = await context.newCDPSession(page);
    const touch = (type, points) => session.send('Input.dispatchTouchEvent', {
      type, touchPoints: points.map(([left, top], id) => ({ x: x + left * width, y: y + top * height, id })),
    });
    const picture = async () => (await canvas.screenshot()).toString('base64');
    const whole = await picture();
    await touch('touchStart', [[0.45, 0.5]]);
    await touch('touchStart', [[0.45, 0.5], [0.55, 0.5]]);
    for (let step = 1; step <= 6; step += 1) {
      await touch('touchMove', [[0.45 - 0.05 * step, 0.5], [0.55 + 0.05 * step, 0.5]]);
    }
    await touch('touchEnd', []);
    await page.waitForTimeout(100);
    const near = await picture();
    assert.notEqual(near, whole, 'it is seen from nearer');
    assert.ok(await inked(page) > 0.02);
    await touch('touchStart', [[0.5, 0.5]]);
    await touch('touchMove', [[0.2, 0.5]]);
    await touch('touchEnd', []);
    await page.waitForTimeout(100);
    assert.notEqual(await picture(), near, 'it has moved');
    await screenshot(page, 'run-pinched');
    await page.getByRole('button', { name: 'Whole run' }).click();
    await page.mouse.move(1, 1);
    await page.waitForTimeout(100);
    assert.deepEqual(errors, []);
  });
});

test('a run fits a phone and the dark', { timeout: 180_000 }, async () => {
  await withSite(async ({ browser, address }) => {
    const small = await open(browser, address, { viewport: phone, fragment });
    await settled(small.page, '2,000');
    const width = await small.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= phone.width, `the page is ${width} px wide`);
    await screenshot(small.page, 'run-phone');
    const dark = await open(browser, address, { viewport: desktop, colorScheme: 'dark', fragment: `${fragment};cluster.admission.policy=token-bucket` });
    await settled(dark.page, '2,000');
    await screenshot(dark.page, 'run-dark');
    assert.deepEqual([...small.errors, ...dark.errors], []);
  });
});
