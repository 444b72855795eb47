// Takes a picture of every scene in every form: `cargo xtask screenshots [WORDS]`, or `node tests/browser/screenshots.mjs`.
//
// Words choose: only what has all of them in its name is taken, as `phone` or `run desktop`.
// Pictures go to `tests/browser/output`; `--readme` also renews the one of the README.

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, output, screenshot, serveSite } from './harness.mjs';
import { forms, scenes, stage } from './scenes.mjs';

const words = process.argv.slice(2);
const chosen = forms
  .flatMap((form) => scenes.map((scene) => ({ scene, form, name: `${scene.name}-${form.name}` })))
  .filter(({ name }) => words.every((word) => name.includes(word)));

const site = await serveSite();
const browser = await launch();
try {
  for (const { scene, form, name } of chosen) {
    const { page, context } = await stage(browser, site.address, scene, form);
    console.log(await screenshot(page, name));
    await context.close();
  }
} finally {
  await browser.close();
  await site.close();
}
