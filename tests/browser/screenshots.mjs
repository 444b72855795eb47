// Takes a picture of every scene in every form: `cargo xtask screenshots [WORDS]`, or `node tests/browser/screenshots.mjs`.
//
// Words choose: only what has all of them in its name is taken, as `phone` or `run desktop`.
// Pictures go to `tests/browser/output`. `--readme` takes that of the README instead and puts it where it belongs.

import { fileURLToPath } from 'node:url';
import { launch, screenshot, serveSite } from './harness.mjs';
import { forms, scenes, stage } from './scenes.mjs';

const isForReadme = process.argv.includes('--readme');
const words = process.argv.slice(2).filter((word) => word !== '--readme');
const chosen = forms
  .flatMap((form) => scenes.map((scene) => ({ scene, form, name: `${scene.name}-${form.name}` })))
  .filter(({ name }) => words.every((word) => name.includes(word)));

const site = await serveSite();
const browser = await launch();
try {
  if (isForReadme) {
    const [curves] = scenes;
    const [desktop] = forms;
    const { page } = await stage(browser, site.address, curves, { ...desktop, viewport: { width: 1280, height: 960 } });
    const path = fileURLToPath(new URL('../../docs/plimsoll.png', import.meta.url));
    await page.screenshot({ path });
    console.log(path);
  }
  for (const { scene, form, name } of isForReadme ? [] : chosen) {
    const { page, context } = await stage(browser, site.address, scene, form);
    console.log(await screenshot(page, name));
    await context.close();
  }
} finally {
  await browser.close();
  await site.close();
}
