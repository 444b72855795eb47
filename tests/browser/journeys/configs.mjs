// Every config.json of the collection through the paste dialog: the parameters shown are those of the real classes.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { firstResult, open, withSite } from '../harness.mjs';

const truth = fileURLToPath(new URL('../../truth/', import.meta.url));

/** Parameters by folder, as they were counted on the classes of transformers. */
const counted = () => {
  const [head, ...rows] = readFileSync(`${truth}model_truth.csv`, 'utf8').trim().split(/\r?\n/).map((line) => line.split(','));
  const [folder, parameters] = ['config_folder', 'parameters'].map((name) => head.indexOf(name));
  return new Map(rows.map((row) => [row[folder], Number(row[parameters])]));
};

test('every config.json of the collection can be pasted and is told to the parameter', { timeout: 300_000 }, async () => {
  const expected = counted();
  const folders = readdirSync(`${truth}hf-configs`).sort();
  await withSite(async ({ browser, address }) => {
    const { page, errors, requests } = await open(browser, address);
    await firstResult(page);
    const start = performance.now();
    let numCompared = 0;
    for (const folder of folders) {
      const config = readFileSync(`${truth}hf-configs/${folder}/config.json`, 'utf8');
      // No name ends as one that says how the weights are stored.
      const name = `my/${folder}-pasted`;
      await page.getByRole('button', { name: 'Paste config.json' }).click();
      await page.getByLabel('Name of the model').fill(name);
      await page.locator('#config-text').fill(config);
      await page.getByRole('button', { name: 'Use this model' }).click();
      const said = await page.waitForFunction(
        (text) => {
          const toasts = [...document.querySelectorAll('.toast')].map((toast) => toast.textContent);
          const refused = document.querySelector('.notices .problem.error')?.textContent;
          return toasts.find((toast) => toast.includes(text)) ?? (refused && `refused: ${refused}`);
        },
        `The model is now ${folder}-pasted,`,
        { timeout: 30_000 },
      );
      const told = await said.jsonValue();
      const found = Number(told.match(/, ([\d,]+) parameters\./)?.[1].replaceAll(',', ''));
      assert.ok(found > 0, `${folder}: ${told}`);
      if (expected.has(folder)) {
        assert.equal(found, expected.get(folder), `${folder}: ${told}`);
        numCompared += 1;
      }
    }
    console.log(`${folders.length} files pasted in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    assert.deepEqual([folders.length, numCompared], [122, 105]);
    assert.deepEqual(requests.filter(({ hasBody }) => hasBody), [], 'nothing is sent');
    assert.deepEqual(errors, []);
  });
});
