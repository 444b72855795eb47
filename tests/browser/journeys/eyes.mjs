// The eyes themselves: each check fails on a small page that is wrong in one way, with words that say what, and passes on the same
// page when it is right.

import assert from 'node:assert/strict';
import test from 'node:test';
import { blank, clipped, disproportionate, faint, misdrawn, outside, overlapping, small, strayed, undrawn, untrue } from '../eyes.mjs';
import { launch, phone } from '../harness.mjs';

const shares = { rows: '.shares tr', bar: '.share-bar i', room: '.share-bar', number: '.share-number' };
// Lengths of the two bars, and the width of the column they stand in.
const table = (lengths, room = 'width:200px;min-width:200px') => `<table class="shares">${['30.0 GiB', '10.0 GiB']
  .map((text, row) => `<tr><th>part ${row}</th><td class="share-bar" style="${room}">${lengths[row] === null ? '' : `<i style="display:block;height:8px;background:navy;width:${lengths[row]}"></i>`}</td><td class="share-number">${text}</td></tr>`)
  .join('')}</table>`;

// A chart of bars as the page draws it, with a table behind its button.
const bars = (heights, tops, fill = 'navy') => `<section data-testid="bars">
  <button onclick="const t = this.nextElementSibling; t.hidden = !t.hidden; this.textContent = t.hidden ? 'Table' : 'Chart'">Table</button>
  <table hidden><thead><tr><th>from<th>count</tr></thead><tbody>${heights.map((height, at) => `<tr><td>${at}</td><td>${height}</td></tr>`).join('')}</tbody></table>
  <div class="barplot" style="position:relative;width:300px;height:100px">
    <svg viewBox="0 0 1000 100" preserveAspectRatio="none" style="position:absolute;width:100%;height:100%">
      <path class="fill" style="fill:${fill}" d="${tops.map((top, at) => `M${(at * 1000) / tops.length} 100v${-top}h${1000 / tops.length - 2}V100z`).join('')}"/>
    </svg>
  </div></section>`;

const line = (d, style = 'stroke:navy;fill:none', viewBox = '0 0 100 50') =>
  `<div class="plane" style="width:200px;height:100px"><svg viewBox="${viewBox}" preserveAspectRatio="none" width="200" height="100" style="overflow:visible"><path class="line" style="${style}" d="${d}"/></svg></div>`;

// A curve of three points over axes of two numbers each; the second point may be lifted by some pixels.
const curve = (lift) => `<section data-testid="curve"><ul class="legend"><li class="main">p95</li></ul>
  <button onclick="const t = this.nextElementSibling; t.hidden = !t.hidden; this.textContent = t.hidden ? 'Table' : 'Chart'">Table</button>
  <table hidden><thead><tr><th>req/s<th>p95, ms</tr></thead><tbody><tr><td>0<td>10</tr><tr><td>5<td>20</tr><tr><td>10<td>40</tr></tbody></table></section>
  <svg width="240" height="160"><g class="cartesianlayer"><g class="subplot xy">
    <g class="xtick"><text text-anchor="middle" x="30" y="150">0</text></g><g class="xtick"><text text-anchor="middle" x="230" y="150">10</text></g>
    <g class="ytick"><text x="0" y="130" dominant-baseline="middle">0</text></g><g class="ytick"><text x="0" y="30" dominant-baseline="middle">50</text></g>
    <g class="points">${[[30, 110], [130, 90 - lift], [230, 50]].map(([x, y]) => `<path class="point" d="M${x - 2} ${y - 2}h4v4h-4z"/>`).join('')}</g>
  </g></g></svg>`;

const canvas = (script) => `<canvas width="200" height="100" style="width:200px;height:100px"></canvas><script>{ const c = document.querySelector('canvas').getContext('2d'); ${script} }</script>`;

const box = 'width:90px;border:1px solid;padding:4px;margin:20px';

// A check, what it says of the page that is wrong, that page, and the one that is right.
const cases = [
  ['text that is cut off', clipped, /“a long sentence .*” in .*p\.name is cut off by .*p\.name: \d/, `<p class="name" style="${box};overflow:hidden;white-space:nowrap">a long sentence that goes on</p>`, `<p class="name" style="${box}">a long sentence that goes on</p>`],
  ['text cut off below', clipped, /is cut off by .*div: \d+.* px of it/, `<div style="${box};overflow:hidden;height:30px">four lines of text in room for one</div>`, `<div style="${box}">four lines of text in room for one</div>`],
  ['a number longer than its field', clipped, /input#n shows “1234567890”, [\d.]+ px wide, in 30 px/, '<input id="n" type="text" value="1234567890" style="width:30px;padding:0;border:0">', '<input id="n" type="text" value="1234567890" style="width:200px">'],
  ['a choice longer than its list', clipped, /select#s shows “a very long choice”/, '<select id="s" style="width:60px"><option>a very long choice</select>', '<select id="s"><option>a very long choice</select>'],
  ['a torn word', clipped, /the word “utilization” in .*label is torn over \d lines/, '<label style="display:block;width:50px;overflow-wrap:anywhere">gpu_memory_utilization</label>', '<label style="display:block;width:90px">gpu_<wbr>memory_<wbr>utilization</label>'],
  ['text over text', overlapping, /“first” in .* and “second” in .* lie over each other by/, '<p style="margin:20px">first</p><p style="margin:-38px 20px">second</p>', '<p>first</p><p>second</p>'],
  ['a label over a button', overlapping, /“note” in .*span lies over .*button by/, '<button style="margin:20px">Press</button><span style="position:absolute;left:30px;top:22px">note</span>', '<button>Press</button> <span>note</span>'],
  ['a box over its sibling', overlapping, /div\.a and its sibling .*div\.b lie over each other by \d+.* px × 10 px/, '<main><div class="a" style="height:40px"></div><div class="b" style="height:40px;margin-top:-10px"></div></main>', '<main><div class="a" style="height:40px"></div><div class="b" style="height:40px"></div></main>'],
  ['a page wider than the window', outside, /the page is \d+ px wide in a window of 390 px/, '<div class="wide" style="width:600px;height:9px"></div>', '<div class="wide" style="max-width:100%;height:9px"></div>'],
  ['something beside the window', outside, /p\.off reaches from -\d+ px to/, '<p class="off" style="position:absolute;left:-90px;top:9px;width:100px">away</p>', '<p class="off">here</p>'],
  ['text that runs out of its box', outside, /“unbreakable.*” in .*p runs \d.* out of .*p/, `<p style="${box};white-space:nowrap">unbreakable words that go on</p>`, `<p style="${box}">breakable words that go on</p>`],
  ['a scroller that no key reaches', outside, /div\.rolls rolls sideways/, '<div class="rolls" style="width:100px;overflow-x:auto"><div style="width:300px">wide</div></div>', '<div class="rolls" tabindex="0" style="width:100px;overflow-x:auto"><div style="width:300px">wide</div></div>'],
  ['faint text', faint, /“quiet” in .*p has a contrast of 2\.8\d : 1, not 4\.5 : 1/, '<p style="color:#999">quiet</p>', '<p style="color:#666">quiet</p>'],
  ['text faint by its ground', faint, /has a contrast of 1\.\d+ : 1/, '<div style="background:#222"><p style="color:#333;margin:0">dark</p></div>', '<div style="background:#222"><p style="color:#ccc;margin:0">dark</p></div>'],
  ['text faint by opacity', faint, /has a contrast of/, '<div style="opacity:.4"><p>dim</p></div>', '<div style="opacity:.9"><p>dim</p></div>'],
  ['a button too small for a finger', small, /button is \d+.* px × 20 px; a finger needs 44 px/, '<main><button style="height:20px;width:60px">x</button></main>', '<main><button style="height:44px;width:60px">x</button></main>'],
  ['bars out of proportion', (page) => disproportionate(page, shares), /the bar of “part 1” \(10\.0 GiB\) .* is 120\.0 px long; beside that of “part 0” .* it should be 60\.0 px/, table(['180px', '120px']), table(['180px', '60px'])],
  ['bars without room', (page) => disproportionate(page, shares), /the bar of “part 0” .* has room of 3\.0 px/, table(['2px', '1px'], 'display:flex;width:3px;padding:0'), table(['180px', '60px'])],
  ['a missing bar', (page) => disproportionate(page, shares), /the bar of “part 1” .* is missing/, table(['180px', null]), table(['180px', '60px'])],
  ['no bar at all', (page) => disproportionate(page, shares), /there is no bar in \.shares tr/, table([null, null]), table(['180px', '60px'])],
  ['heights that are not those of the table', (page) => misdrawn(page, '[data-testid=bars]'), /bar 2 of .* \(5\) is 80\.0 px high, not 45\.0 px/, bars([10, 5, 2], [90, 80, 18]), bars([10, 5, 2], [90, 45, 18])],
  ['fewer bars than numbers', (page) => misdrawn(page, '[data-testid=bars]'), /has 2 bars for 3 numbers above 0/, bars([10, 5, 2], [90, 45]), bars([10, 5, 2], [90, 45, 18])],
  ['bars that cannot be seen', (page) => misdrawn(page, '[data-testid=bars]'), /are not seen: the drawing has a contrast of 1\.\d+ : 1/, bars([10, 5], [90, 45], '#fafafa'), bars([10, 5], [90, 45])],
  ['a line without extent', (page) => undrawn(page, { areas: '.plane', lines: 'path.line' }), /path\.line in .*div\.plane is 0 px × 0 px/, line('M10 10h0'), line('M10 10L90 40')],
  ['a line outside its area', (page) => undrawn(page, { areas: '.plane', lines: 'path.line' }), /path\.line runs [\d.]+ px out of .*div\.plane/, line('M10 10L190 40'), line('M10 10L90 40')],
  ['a line over little of its area', (page) => undrawn(page, { areas: '.plane', lines: 'path.line' }), /the lines of .*div\.plane go over 20 px of 200 px/, line('M10 10L20 40'), line('M10 10L90 40')],
  ['a line without paint', (page) => undrawn(page, { areas: '.plane', lines: 'path.line' }), /has a contrast of 1\.00 : 1/, line('M10 10L90 40', 'stroke:transparent;fill:none'), line('M10 10L90 40')],
  ['an area without a line', (page) => undrawn(page, { areas: '.plane', lines: 'path.line' }), /div\.plane has 0 lines \(path\.line\), not 1/, '<div class="plane" style="width:200px;height:100px"></div>', line('M10 10L90 40')],
  ['an axis beside its plot', (page) => strayed(page, { lines: 'path.line', areas: '.plane' }), /path\.line goes over 0 px × 60 px at [\d.]+ px, [\d.]+ px, outside of every \.plane/, line('M120 10v30'), line('M50 10v30')],
  ['a point that is not where its number is', (page) => untrue(page, { chart: '[data-testid=curve]', subplot: 'xy' }), /a point of p95 in .* is 1\d\.\d px from 20 at 5, the nearest number of its table/, curve(12), curve(0)],
  ['a blank canvas', (page) => blank(page, { canvases: 'canvas' }), /canvas has color on 0\.0 % of its area/, canvas(''), canvas("c.fillStyle = 'navy'; c.fillRect(5, 5, 180, 40); c.fillStyle = 'orange'; c.fillRect(5, 50, 90, 40)")],
  ['a blurred canvas', (page) => blank(page, { canvases: 'canvas' }), /canvas is drawn 200 px wide and shown over 300 px/, canvas("c.canvas.style.width = '300px'; c.fillStyle = 'navy'; c.fillRect(5, 5, 180, 40); c.fillStyle = 'orange'; c.fillRect(5, 50, 90, 40)"), canvas("c.fillStyle = 'navy'; c.fillRect(5, 5, 180, 40); c.fillStyle = 'orange'; c.fillRect(5, 50, 90, 40)")],
];

test('each check of the eyes fails on what is wrong and on nothing else', { timeout: 60_000 }, async (t) => {
  const browser = await launch();
  try {
    const page = await browser.newPage({ viewport: phone });
    const show = (html) => page.setContent(`<!doctype html><meta name="viewport" content="width=device-width"><body style="margin:8px;font:16px/1.4 sans-serif;background:#fff;color:#000">${html}`);
    for (const [name, check, says, wrong, right] of cases) {
      await t.test(name, async () => {
        await show(wrong);
        const said = await check(page);
        assert.ok(said.some((sentence) => says.test(sentence)), `no ${says} in:\n  ${said.join('\n  ') || '(nothing)'}`);
        await show(right);
        assert.deepEqual(await check(page), []);
      });
    }
  } finally {
    await browser.close();
  }
});
