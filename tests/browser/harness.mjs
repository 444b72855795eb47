// What every journey needs: the built site on a free port, Chromium, and a page whose errors and requests are recorded.

import assert from 'node:assert/strict';
import { accessSync, mkdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { delimiter, extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = join(here, '..', '..', 'dist');
/** Where pictures go. */
export const output = join(here, 'output');

export const desktop = { width: 1280, height: 900 };
export const phone = { width: 390, height: 844 };

// The flags of the WebAssembly tests, so that both run the same browser.
const flags = JSON.parse(readFileSync(join(here, 'webdriver.json'), 'utf8'))['goog:chromeOptions'].args;

const mimeTypes = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

// Not at the root, so that an absolute address in the site is found out.
const base = '/some/folder/';

/** Serves the built site; `hold(name)` may return a promise that a file waits for. */
export const serveSite = async ({ hold } = {}) => {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const name = pathname.startsWith(base) ? pathname.slice(base.length) || 'index.html' : null;
    const file = name && normalize(join(dist, name));
    if (!file?.startsWith(dist + sep)) {
      response.writeHead(404).end();
      return;
    }
    try {
      const bytes = await readFile(file);
      await hold?.(name);
      response.writeHead(200, { 'content-type': mimeTypes[extname(file)] ?? 'application/octet-stream' }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}${base}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
};

const findChromium = () => {
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  const folders = (process.env.PATH ?? '').split(delimiter);
  const candidates = [process.env.CHROMIUM, ...names.flatMap((name) => folders.map((folder) => join(folder, name)))];
  const found = candidates.filter(Boolean).find((file) => {
    try {
      accessSync(file);
      return true;
    } catch {
      return false;
    }
  });
  if (!found) throw new Error('Chromium is missing: install it or name it in the variable CHROMIUM');
  return found;
};

export const launch = () => chromium.launch({ executablePath: findChromium(), args: flags });

/**
 * Opens the site in a fresh profile; the page is told of `numCores` processors, by default of those there are.
 *
 * `errors` collects everything the console reports as an error and every uncaught exception, `requests` every request.
 */
export const open = async (
  browser,
  address,
  { viewport = desktop, colorScheme = 'light', fragment = '', waitUntil = 'load', numCores } = {},
) => {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce', acceptDownloads: true });
  if (numCores) {
    await context.addInitScript((count) => {
      Object.defineProperty(Navigator.prototype, 'hardwareConcurrency', { get: () => count });
    }, numCores);
  }
  const page = await context.newPage();
  const errors = [];
  const requests = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => requests.push({ url: request.url(), hasBody: request.postData() !== null }));
  await page.goto(address + fragment, { waitUntil });
  return { page, context, errors, requests };
};

/** Runs a journey with a browser and the site, and closes both whatever happens. */
export const withSite = async (journey, options) => {
  const site = await serveSite(options);
  const browser = await launch();
  try {
    await journey({ browser, address: site.address });
  } finally {
    await browser.close();
    await site.close();
  }
};

/** Drops files and folders of this machine somewhere on the page, as from the desktop. */
export const dropPaths = async (page, paths) => {
  const session = await page.context().newCDPSession(page);
  const { width, height } = page.viewportSize();
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  const drag = (type) => session.send('Input.dispatchDragEvent', { type, x: width / 2, y: height / 2, data });
  // The browser forgets a drop whose place has not yet said that it takes one, as a busy page has not: then it is
  // dropped again. A drop that the page has seen is never repeated.
  await page.evaluate(() => {
    window.dropsSeen = 0;
    window.addEventListener('drop', () => { window.dropsSeen += 1; }, { capture: true });
  });
  for (let attempt = 0; attempt < 5; attempt += 1) {
    for (const type of ['dragEnter', 'dragOver', 'dragOver', 'drop']) {
      await drag(type);
      await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve, 0)); }));
    }
    if (await page.evaluate(() => window.dropsSeen > 0)) break;
  }
  assert.ok(await page.evaluate(() => window.dropsSeen > 0), 'the page has seen the drop');
  await session.detach();
};

/** Drops files of a name and a text on the page, as from the desktop. */
export const dropFiles = async (page, files) => {
  const data = await page.evaluateHandle((all) => {
    const transfer = new DataTransfer();
    for (const { name, text } of all) transfer.items.add(new File([text], name));
    return transfer;
  }, files);
  await page.locator('main').dispatchEvent('drop', { dataTransfer: data });
};

/** Waits until the headline names a capacity, which is the first complete result. */
export const firstResult = (page) =>
  page.waitForFunction(
    () => /\d[\d.,]*\s*(req\/s|requests? per second|requests\/s)/i.test(document.querySelector('[data-testid=headline]')?.textContent ?? ''),
    undefined,
    { timeout: 30_000 },
  );

/** Keeps a picture for people to look at and returns its path. */
export const screenshot = async (page, name) => {
  mkdirSync(output, { recursive: true });
  const path = join(output, `${name}.png`);
  await page.screenshot({ path, fullPage: true });
  return path;
};
