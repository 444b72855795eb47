// Eyes for the journeys: what a person must be able to see, checked on a page that stands still.
//
// Each check gives a list of sentences, one for each thing that is wrong, with the element and the numbers; an empty list
// is a pass. `journeys/eyes.mjs` shows each of them a small page that is wrong in one way and one that is right.

import assert from 'node:assert/strict';
import { inside } from './eyes-inside.mjs';

/** Runs one of the checks that need nothing but the page, inside it. */
const look = (page, name, argument) =>
  page.evaluate(`(${inside})()[${JSON.stringify(name)}](${argument === undefined ? '' : JSON.stringify(argument)})`);

/** Text, fields and choices that are cut off, and words that are torn over lines. */
export const clipped = (page) => look(page, 'clipped');
/** What lies over something else. */
export const overlapping = (page) => look(page, 'overlapping');
/** What reaches out of the window or out of its box. */
export const outside = (page) => look(page, 'outside');
/** Text of too little contrast. */
export const faint = (page) => look(page, 'faint');
/** Controls smaller than `least` pixels. */
export const small = (page, least = 44) => look(page, 'small', least);
/** Areas whose lines are not drawn, leave the area, or cover little of it. */
export const undrawn = (page, what) => look(page, 'undrawn', what);
/** Lines that lie in none of their areas. */
export const strayed = (page, what) => look(page, 'strayed', what);
/** Canvases on which little is to be seen. */
export const blank = (page, what) => look(page, 'blank', what);

const units = { '': 1, '%': 1, B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };

/** A number with its unit as the page writes them: `23.4 %`, `1,204`, `51.0 GiB`. */
export const amount = (text) => {
  const found = text.replace(/[\s\u00a0\u202f]+/g, ' ').trim().match(/^(<\s*)?([\d,]+(?:\.\d+)?)\s*(%|[KMGT]i?B|B)?$/);
  if (!found || !(found[3] === undefined || found[3] in units)) return null;
  return Number(found[2].replaceAll(',', '')) * units[found[3] ?? ''];
};

/**
 * Bars beside numbers whose lengths are not in proportion to these, or that nobody can see.
 *
 * All bars of one table must start at one line and have equal room of at least 48 px, as those of other tables have, and the
 * longest must fill a tenth of it.
 * A pixel and a twentieth of its length are forgiven, as the number is rounded; a bar of next to nothing may be a pixel long.
 */
export const disproportionate = async (page, what) => {
  const rows = await look(page, 'lengths', what);
  const wrong = [];
  const places = new Map();
  for (const row of rows.filter(({ bar }) => bar)) places.set(row.name, [...(places.get(row.name) ?? []), row]);
  if (!places.size) return [`there is no bar in ${what.rows}`];
  // Between tables, lengths can be compared as well.
  const rooms = [...places].map(([name, [{ room }]]) => ({ name, width: room.width }));
  const [first] = rooms;
  for (const { name, width } of rooms.filter(({ width }) => Math.abs(width - first.width) > 1)) {
    wrong.push(`the bars of ${name} have room of ${width.toFixed(1)} px, those of ${first.name} ${first.width.toFixed(1)} px`);
  }
  for (const [name, all] of places) {
    const about = ({ label, text }) => `the bar of “${label}” (${text}) in ${name}`;
    const most = all.reduce((best, row) => (row.bar.width > best.bar.width ? row : best));
    const scale = most.bar.width / amount(most.text);
    if (most.bar.width < 0.1 * most.room.width) {
      wrong.push(`${about(most)} is the longest and ${most.bar.width.toFixed(1)} px long in ${most.room.width.toFixed(1)} px`);
    }
    for (const row of rows.filter((row) => row.name === name && row.isMissing && /\d/.test(row.text) && amount(row.text) !== 0)) wrong.push(`${about(row)} is missing`);
    for (const row of all) {
      const number = amount(row.text);
      if (number === null) {
        wrong.push(`${about(row)} has a text that is no amount`);
        continue;
      }
      const length = number * scale;
      if (Math.abs(row.bar.width - length) > 1 + 0.05 * length) {
        wrong.push(`${about(row)} is ${row.bar.width.toFixed(1)} px long; beside that of “${most.label}” (${most.text}, ${most.bar.width.toFixed(1)} px) it should be ${length.toFixed(1)} px`);
      }
      if (row.room.width < 48) wrong.push(`${about(row)} has room of ${row.room.width.toFixed(1)} px`);
      if (Math.abs(row.bar.left - most.bar.left) > 1 || Math.abs(row.room.width - most.room.width) > 1) {
        wrong.push(`${about(row)} starts at ${row.bar.left.toFixed(1)} px in ${row.room.width.toFixed(1)} px, that of “${most.label}” at ${most.bar.left.toFixed(1)} px in ${most.room.width.toFixed(1)} px`);
      }
      if (row.bar.height < 4) wrong.push(`${about(row)} is ${row.bar.height.toFixed(1)} px high`);
      if (number > 0 && row.bar.contrast < 3) wrong.push(`${about(row)} has a contrast of ${row.bar.contrast.toFixed(2)} : 1`);
    }
  }
  return wrong;
};

/** The numbers of a chart's table: those of each row by the names in its head. */
const table = async (page, chart) => {
  const section = page.locator(chart);
  await section.getByRole('button', { name: 'Table' }).click();
  const { head, body } = await section.locator('table').evaluate((table) => {
    const texts = (row) => [...row.cells].map((cell) => cell.textContent.trim());
    return { head: texts(table.tHead.rows[0]), body: [...table.tBodies[0].rows].map(texts) };
  });
  await section.getByRole('button', { name: 'Chart' }).click();
  return { head, body };
};

/**
 * A drawing of bars whose heights are not those of its table.
 *
 * `chart` names the section with the drawing and the button that shows the table, whose last column has the heights.
 */
export const misdrawn = async (page, chart) => {
  const { bars, room, paint } = await look(page, 'columns', `${chart} .barplot path.fill`);
  const cells = (await table(page, chart)).body.map((row) => row.at(-1));
  const numbers = cells.map(amount);
  const wrong = paint.map((problem) => `the bars of ${chart} are not seen: the drawing ${problem}`);
  if (numbers.includes(null)) return [...wrong, `the table of ${chart} has ${JSON.stringify(cells[numbers.indexOf(null)])} for a height`];
  const tall = numbers.map((number, at) => ({ number, at })).filter(({ number }) => number > 0);
  if (bars.length !== tall.length) return [...wrong, `${chart} has ${bars.length} bars for ${tall.length} numbers above 0`];
  const most = Math.max(...tall.map(({ number }) => number));
  const highest = Math.max(...bars.map(({ height }) => height));
  if (highest < 0.3 * room.height) wrong.push(`the highest bar of ${chart} is ${highest.toFixed(1)} px high in ${room.height.toFixed(1)} px`);
  for (const [index, { number, at }] of tall.entries()) {
    const { left, width, height } = bars[index];
    const length = (number / most) * highest;
    // Whatever is there can be seen, so the least bars are a little higher.
    if (Math.abs(height - length) > 1.5) {
      wrong.push(`bar ${at + 1} of ${chart} (${cells[at]}) is ${height.toFixed(1)} px high, not ${length.toFixed(1)} px`);
    }
    const slot = (room.width / numbers.length) * at;
    if (Math.abs(left - slot) > 1.5 || width < 0.5) {
      wrong.push(`bar ${at + 1} of ${chart} starts at ${left.toFixed(1)} px, ${width.toFixed(1)} px wide, not at ${slot.toFixed(1)} px`);
    }
    if (left < -1 || left + width > room.width + 1 || height > room.height + 1) {
      wrong.push(`bar ${at + 1} of ${chart} is not in its ${room.width.toFixed(1)} px × ${room.height.toFixed(1)} px`);
    }
  }
  return wrong;
};

/**
 * A curve whose points do not stand where the numbers of its table and those along its axes say.
 *
 * `chart` names the section, `subplot` the drawing's part that shows it.
 */
export const untrue = async (page, { chart, subplot }) => {
  const { name, unit, ticks, points } = await look(page, 'points', { chart, subplot });
  const { head, body } = await table(page, chart);
  const column = head.findIndex((text) => text === name || text.startsWith(`${name},`));
  if (column < 0) return [`no column of the table of ${chart} is called ${name}`];
  if (ticks.some((axis) => axis.length < 2)) return [`an axis of ${chart} has ${Math.min(...ticks.map(({ length }) => length))} numbers`];
  // A long time is drawn in seconds and written in milliseconds.
  const scale = unit === 's' && head[column].endsWith(', ms') ? 1e-3 : 1;
  const rows = body
    .filter((row) => amount(row[column]) !== null)
    .map((row) => ({ rate: amount(row[0]), value: amount(row[column]) * scale }));
  if (points.length < 0.6 * rows.length) return [`${chart} shows ${points.length} points of ${rows.length} numbers`];
  // An axis is straight: its first and last number say where all others are.
  const [[left, right], [floor, ceiling]] = ticks.map((axis) => [axis.at(0), axis.at(-1)]);
  const at = (first, last, value) => first.at + ((value - first.value) / (last.value - first.value)) * (last.at - first.at);
  const wrong = [];
  for (const [x, y] of points) {
    const away = ({ rate, value }) => Math.hypot(at(left, right, rate) - x, at(floor, ceiling, value) - y);
    const nearest = rows.reduce((best, row) => (away(row) < away(best) ? row : best));
    // Three digits are shown.
    const rounding = Math.abs(at(floor, ceiling, nearest.value * 1.005) - at(floor, ceiling, nearest.value));
    if (away(nearest) > 2.5 + rounding) {
      wrong.push(`a point of ${name} in ${chart} is ${away(nearest).toFixed(1)} px from ${nearest.value} at ${nearest.rate}, the nearest number of its table`);
    }
  }
  return wrong;
};

/** What is wrong for a person who looks at the whole page; on a phone, fingers count too. */
export const troubles = async (page, { isPhone = false } = {}) => [
  ...(await clipped(page)),
  ...(await overlapping(page)),
  ...(await outside(page)),
  ...(await faint(page)),
  ...(isPhone ? await small(page) : []),
];

/** Fails with every sentence, one a line. */
export const sees = (wrong, where) => assert.equal(wrong.length, 0, `${where}: ${wrong.length} things are wrong\n  ${[...new Set(wrong)].join('\n  ')}`);
