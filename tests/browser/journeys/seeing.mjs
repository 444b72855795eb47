// What a person must see on each tab, at a desk, on a phone and in the dark.
//
// When two rules shared the class `bar`, these found every bar of `What binds` and `Memory` 1 to 3 px long in room of 2 to 5 px;
// and besides names of settings torn in the middle of a word, units of axes over their plots, and controls too small for a finger.
// Where tables stood in the place of all four charts, axes of 2,000 px went over them.

import test from 'node:test';
import { withSite } from '../harness.mjs';
import { blank, disproportionate, misdrawn, sees, strayed, troubles, undrawn, untrue } from '../eyes.mjs';
import { forms, scenes, stage } from '../scenes.mjs';

const curves = [
  ['ttft', 'xy'],
  ['tpot', 'x2y2'],
  ['e2e', 'x3y3'],
  ['throughput', 'x4y4'],
];

// Charts are redrawn when a table gives its place back: what is still wrong after two seconds is wrong.
const atLast = async (look) => {
  let wrong = await look();
  for (let turn = 0; turn < 20 && wrong.length; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    wrong = await look();
  }
  return wrong;
};

const linesOfCurves = async (page) => {
  const wrong = [];
  for (const [name, subplot] of curves) {
    const chart = `[data-testid=chart-${name}]`;
    const least = await page.locator(`${chart} .legend li:not(.band)`).count();
    const what = { areas: `${chart} .plot`, within: `.cartesianlayer > .subplot.${subplot}`, lines: '.js-line', least };
    wrong.push(...(await atLast(() => undrawn(page, what))), ...(await untrue(page, { chart, subplot })));
  }
  return wrong;
};

// Axes and grids, which are of no use but inside a plot.
const axes = (page) => atLast(() => strayed(page, { lines: '.js-plotly-plot .crisp', areas: '.plot' }));

const shares = (page) =>
  disproportionate(page, { rows: '.shares tr', bar: '.share-bar i', room: '.share-bar', number: '.share-number' });

const histograms = async (page) => {
  const wrong = [];
  for (const id of ['input-tokens', 'output-tokens', 'arrivals']) wrong.push(...(await misdrawn(page, `[data-testid=${id}]`)));
  return wrong;
};

const replicas = async (page) => [
  ...(await undrawn(page, { areas: '.barplot.lines', lines: 'path.line' })),
  ...(await blank(page, { canvases: '.timeline canvas' })),
];

const residuals = (page) => undrawn(page, { areas: '.plane', lines: 'path.line, path.dots' });

// What each scene is for; everything else is looked at on the whole page.
const figures = {
  curves: async (page) => [...(await linesOfCurves(page)), ...(await axes(page))],
  tables: axes,
  bottleneck: shares,
  memory: shares,
  workload: histograms,
  'workload-mix': histograms,
  run: replicas,
  'run-cluster': replicas,
  'calibrate-fit': residuals,
};

for (const scene of scenes) {
  test(`a person sees ${scene.name}`, { timeout: 240_000 }, async (t) => {
    await withSite(async ({ browser, address }) => {
      for (const form of forms) {
        await t.test(form.name, async () => {
          const { page, context } = await stage(browser, address, scene, form);
          const own = (await figures[scene.name]?.(page)) ?? [];
          const rest = await troubles(page, { isPhone: form.name === 'phone' });
          await context.close();
          sees([...own, ...rest], `${scene.name}, ${form.name}`);
        });
      }
    });
  });
}
