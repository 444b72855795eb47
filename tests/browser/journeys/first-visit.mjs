// The default scenario is simulated on arrival, in every way of looking at it, and nothing leaves the tab.

import assert from 'node:assert/strict';
import test from 'node:test';
import { desktop, firstResult, open, phone, screenshot, withSite } from '../harness.mjs';

const views = [
  { name: 'desktop', viewport: desktop, colorScheme: 'light' },
  { name: 'phone', viewport: phone, colorScheme: 'light' },
  { name: 'dark', viewport: desktop, colorScheme: 'dark' },
];

for (const { name, ...view } of views) {
  test(`the default scenario stands answered (${name})`, async () => {
    await withSite(async ({ browser, address }) => {
      const { page, errors, requests } = await open(browser, address, view);
      await firstResult(page);
      await page.waitForSelector('.js-plotly-plot .scatterlayer .trace');
      await page.waitForFunction(() => performance.getEntriesByName('plimsoll:settled-drawn').length > 0);
      await screenshot(page, `first-visit-${name}`);
      const { width, content } = await page.evaluate(() => ({
        width: document.documentElement.clientWidth,
        content: document.documentElement.scrollWidth,
      }));
      assert.ok(content <= width, `the page is ${content} px wide in a window of ${width} px`);
      const elsewhere = requests.filter(({ url }) => !/^(data|blob):/.test(url) && !url.startsWith(address));
      assert.deepEqual(elsewhere, [], 'every request stays with the site');
      assert.deepEqual(requests.filter(({ hasBody }) => hasBody), [], 'no request carries data');
      const later = requests.map(({ url }) => url.split('/').pop()).filter((name) => /^(reader|lab)[-_.]/.test(name));
      assert.deepEqual(later, [], 'what reads files and draws the lab is loaded when asked for');
      assert.deepEqual(errors, []);
    });
  });
}
