// What there is to look at: every tab in the states that matter, in every form in which the page is read.
//
// A scene brings a fresh page to rest in one of these states. The journeys look at it (`eyes.mjs`), and `screenshots.mjs`
// takes its picture.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dropFiles, open, phone } from './harness.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const example = (name) => ({ name, text: readFileSync(join(root, 'web/src/lab/calibrate/example', name), 'utf8') });

const wide = { width: 1440, height: 900 };

/** Forms of the page: the window and the colors. */
export const forms = [
  { name: 'desktop', viewport: wide, colorScheme: 'light' },
  { name: 'phone', viewport: phone, colorScheme: 'light' },
  { name: 'dark', viewport: wide, colorScheme: 'dark' },
];

/** Waits until the study of the scenario has come to rest: the answer is read out and no run is under way. */
export const atRest = async (page) => {
  await page.waitForFunction(
    () =>
      document.querySelector('.answer [aria-live=polite]')?.textContent &&
      document.querySelector('[data-testid=progress]')?.textContent === '' &&
      !document.querySelector('.answer.stale'),
    undefined,
    { timeout: 90_000 },
  );
};

/** Waits for a text in an element that a selector names. */
const says = (page, selector, pattern) =>
  page.waitForFunction(
    ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ''),
    [selector, pattern.source],
    { timeout: 120_000 },
  );

const status = '[data-testid=calibrate-status]';

/** Opens the example's log in the Calibrate tab. */
const opensLog = async (page) => {
  await page.locator('[data-testid=calibrate-example]').waitFor({ timeout: 60_000 });
  await dropFiles(page, [example('requests.jsonl'), example('meta.json')]);
  await page.getByText('300 requests', { exact: false }).first().waitFor({ timeout: 30_000 });
  await page.waitForFunction(() => document.querySelector('#server-max_num_seqs')?.value === '128', undefined, { timeout: 30_000 });
};

/** Fits the example's log with few evaluations, until the charts of the result stand. */
const fits = async (page) => {
  await opensLog(page);
  await page.locator('[data-testid=calibrate-options] > summary').click();
  const budget = page.getByLabel('Evaluations', { exact: true });
  await budget.fill('300');
  await budget.press('Tab');
  await page.locator('[data-testid=calibrate-options] > summary').click();
  await page.locator('[data-testid=calibrate-fit]').click();
  await says(page, status, /^Done/);
  await says(page, '[data-testid=calibrate-headline]', /TPOT \d/);
  await says(page, '[data-testid=calibrate-identifiability]', /Intervals hold/);
};

/** Gives a line to the dialog for the server's; on a phone the editor is closed at first. */
const opensServeLine = async (page, line) => {
  await page.evaluate(() => document.querySelector('.editor').setAttribute('open', ''));
  await page.getByRole('button', { name: 'Paste a vllm serve line' }).click();
  await page.locator('#serve-line-text').fill(line);
  await page.getByRole('button', { name: 'Use this server' }).click();
};

const pastes = async (page) => {
  const line = 'vllm serve meta-llama/Llama-3.1-8B-Instruct --max-num-seqs 512 --max-num-batched-tokens 16k';
  await opensServeLine(page, `${line} --no-enable-prefix-caching --swap-space 4 --enforce-eager --host 0.0.0.0 --api-key s3cret`);
  await page.locator('[data-testid=serve-line-result]').waitFor({ timeout: 30_000 });
};

/** Opens everything the editor has. */
const opensEditor = (page) =>
  page.evaluate(() => document.querySelectorAll('.editor, .editor details').forEach((details) => { details.open = true; }));

/** The scenes: a name, the tab, the window's height where it is another, whether its answer is an old one, the link's base where it is an old one and what the link adds, and what is done until there is something to see. */
export const scenes = [
  {
    name: 'curves',
    tab: 'curves',
    prepare: async (page) => {
      await page.waitForSelector('.js-plotly-plot .scatterlayer .trace');
      // Nothing is drawn after it; on a slow machine the redraw of the settled points else falls into the looking.
      await page.waitForFunction(() => performance.getEntriesByName('plimsoll:settled-drawn').length > 0, undefined, { timeout: 90_000 });
    },
  },
  {
    name: 'tables',
    tab: 'curves',
    prepare: async (page) => {
      await page.locator('.charts .chart > header button').evaluateAll((buttons) => buttons.forEach((button) => button.click()));
      await page.waitForFunction(() => document.querySelectorAll('.charts tbody').length === 4);
    },
  },
  { name: 'editor', tab: 'curves', height: 3600, prepare: opensEditor },
  {
    name: 'problems',
    tab: 'curves',
    height: 3600,
    // What is shown belongs to the scenario before, and stays so.
    isStale: true,
    prepare: async (page) => {
      await opensEditor(page);
      await page.getByLabel('max_num_seqs', { exact: true }).fill('0');
      await page.waitForFunction(() => document.querySelector('#engine-max-num-seqs-problems .error') !== null);
    },
  },
  { name: 'bottleneck', tab: 'bottleneck', prepare: (page) => page.locator('.tables').first().waitFor() },
  { name: 'memory', tab: 'memory', prepare: (page) => page.locator('.tables').first().waitFor() },
  { name: 'workload', tab: 'workload', prepare: (page) => says(page, '[data-testid=workload-summary] h2', /requests over/) },
  {
    name: 'workload-mix',
    tab: 'workload',
    prepare: async (page) => {
      await says(page, '[data-testid=workload-summary] h2', /requests over/);
      await page.getByRole('button', { name: 'SLO classes' }).click();
      await page.getByRole('button', { name: 'Use this workload' }).click();
      await page.locator('[data-testid=clients]').waitFor();
      await page.locator('.toast').getByRole('button', { name: 'Dismiss' }).click();
    },
  },
  { name: 'run', tab: 'run', prepare: (page) => says(page, '[data-testid=run-summary] h2', /requests in/) },
  {
    name: 'run-cluster',
    tab: 'run',
    fragment: ';cluster.num_replicas=4;cluster.routing.policy=least-loaded',
    prepare: (page) => says(page, '[data-testid=run-summary] h2', /requests in/),
  },
  {
    name: 'run-cut-off',
    tab: 'run',
    fragment: ';horizon_us=20000000',
    prepare: (page) => page.locator('[data-testid=run-cut-off]').waitFor({ timeout: 60_000 }),
  },
  { name: 'newer-rules', tab: 'curves', base: 1, prepare: (page) => page.locator('[data-testid=newer-rules]').waitFor() },
  { name: 'serve-line', tab: 'curves', prepare: pastes },
  {
    name: 'serve-line-wrong',
    tab: 'curves',
    prepare: async (page) => {
      await opensServeLine(page, 'vllm serve Qwen/Qwen3-14B \\\n  --max-num-sqs 512 \\\n  --gpu-memory-utilization 90%');
      await page.locator('#serve-line-problems .error').nth(1).waitFor({ timeout: 30_000 });
    },
  },
  { name: 'calibrate', tab: 'calibrate', prepare: (page) => page.locator('[data-testid=calibrate-example]').waitFor({ timeout: 60_000 }) },
  { name: 'calibrate-log', tab: 'calibrate', prepare: opensLog },
  {
    name: 'calibrate-options',
    tab: 'calibrate',
    prepare: async (page) => {
      await opensLog(page);
      await page.locator('[data-testid=calibrate-options] > summary').click();
    },
  },
  { name: 'calibrate-fit', tab: 'calibrate', prepare: fits },
];

/** Opens a scene in a form and waits until it stands. */
export const stage = async (browser, address, scene, form) => {
  const fragment = `#v1;${scene.base ?? 2};view.tab=${scene.tab}${scene.fragment ?? ''}`;
  const viewport = { ...form.viewport, height: scene.height ?? form.viewport.height };
  const opened = await open(browser, address, { ...form, viewport, fragment });
  await atRest(opened.page);
  await scene.prepare(opened.page);
  // An edit begins a study and a better known capacity makes another run, so both have to be at rest together.
  await opened.page.waitForTimeout(500);
  if (!scene.isStale) await atRest(opened.page);
  await opened.page.evaluate(() => window.scrollTo(0, 0));
  return opened;
};
