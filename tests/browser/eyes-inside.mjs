// The eyes' checks that run inside the page; `eyes.mjs` hands them over and says what each is for.

/**
 * The checks that need nothing but the page, as they run inside it; handed over as text.
 *
 * Lengths are CSS pixels. A box of text is a line of a text node, without the room above and below its letters.
 */
export const inside = () => {
  const quoted = (text) => `“${text.trim().replace(/\s+/g, ' ').slice(0, 48)}”`;
  const px = (value) => `${Math.round(value * 10) / 10} px`;

  /** An element as a person finds it again: its own words, and the nearest place with a name. */
  const named = (element) => {
    const own = (part) => {
      const classes = [...part.classList].map((name) => `.${name}`).join('');
      const id = part.dataset?.testid ? `[${part.dataset.testid}]` : part.id ? `#${part.id}` : '';
      return part.tagName.toLowerCase() + id + classes;
    };
    const place = element.parentElement?.closest('[data-testid], [id], section, header, footer');
    return place ? `${own(place)} ${own(element)}` : own(element);
  };

  const isVisible = (element) =>
    element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true }) &&
    !element.closest('.visually-hidden');

  const parents = function* (element) {
    for (let parent = element.parentElement; parent; parent = parent.parentElement) yield parent;
  };

  const isCut = (overflow) => overflow === 'hidden' || overflow === 'clip';
  const isRolled = (overflow) => overflow === 'auto' || overflow === 'scroll';

  /**
   * What of a box is in view inside the scrollers around its element, and by which ancestor it is cut off.
   *
   * What a scroller has rolled away is not there; what `overflow: hidden` cuts is lost.
   */
  const seen = (element, box) => {
    let { left, right, top, bottom } = box;
    let cut = null;
    let isFixed = false;
    for (const around of [element, ...parents(element)]) {
      if (around === document.documentElement || around === document.body || isFixed) break;
      const style = getComputedStyle(around);
      isFixed = style.position === 'fixed';
      const edge = around.getBoundingClientRect();
      if (isRolled(style.overflowX)) [left, right] = [Math.max(left, edge.left), Math.min(right, edge.right)];
      if (isRolled(style.overflowY)) [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
      if (left >= right || top >= bottom) return { box: null, cut: null };
      const beyond = Math.max(
        isCut(style.overflowX) ? Math.max(edge.left - left, right - edge.right) : 0,
        isCut(style.overflowY) ? Math.max(edge.top - top, bottom - edge.bottom) : 0,
      );
      if (beyond > 1 && !cut) cut = { around, beyond };
    }
    return { box: { left, right, top, bottom }, cut };
  };

  /** Every line of text that is shown, with what is seen of it. */
  const lines = () => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      // What an option of a closed list says is not on the page.
      if (!node.data.trim() || element.closest('option, script, style, noscript') || !isVisible(element)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) {
        if (rect.width < 1 || rect.height < 1) continue;
        // The letters fill about the middle two thirds of a line.
        const inset = rect.height / 6;
        const letters = { left: rect.left, right: rect.right, top: rect.top + inset, bottom: rect.bottom - inset };
        found.push({ node, element, text: node.data, ...seen(element, letters), letters });
      }
    }
    return found;
  };

  const overlap = (a, b) => [
    Math.min(a.right, b.right) - Math.max(a.left, b.left),
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top),
  ];

  const fieldStyle = ['fontStyle', 'fontWeight', 'fontSize', 'fontFamily'];
  const pen = document.createElement('canvas').getContext('2d');
  const textWidth = (element, text) => {
    const style = getComputedStyle(element);
    pen.font = fieldStyle.map((name) => style[name]).join(' ');
    return pen.measureText(text).width;
  };

  /** Text, numbers in fields and chosen options that are cut off, and words that are torn apart. */
  const clipped = () => {
    const wrong = [];
    for (const { element, text, cut } of lines()) {
      if (cut) wrong.push(`${quoted(text)} in ${named(element)} is cut off by ${named(cut.around)}: ${px(cut.beyond)} of it are beyond the edge`);
    }
    for (const field of document.querySelectorAll('input[type=text], input:not([type]), select, textarea')) {
      if (!isVisible(field)) continue;
      const style = getComputedStyle(field);
      const room = field.clientWidth - Number.parseFloat(style.paddingLeft) - Number.parseFloat(style.paddingRight);
      // Whatever a list offers may be chosen; its arrow stands in its content box.
      const isList = field.tagName === 'SELECT';
      const texts = isList ? [...field.options].map(({ text }) => text) : [field.value || field.placeholder];
      for (const shown of field.tagName === 'TEXTAREA' ? [] : texts) {
        const needed = textWidth(field, shown) + (isList && style.appearance !== 'none' ? 16 : 0);
        if (needed > room + 1) wrong.push(`${named(field)} shows ${quoted(shown)}, ${px(needed)} wide, in ${px(room)}`);
      }
    }
    const seenNodes = new Set();
    for (const { node, element } of lines()) {
      if (seenNodes.has(node)) continue;
      seenNodes.add(node);
      for (const { 0: word, index } of node.data.matchAll(/[\p{L}\d.,%]{2,20}/gu)) {
        const range = document.createRange();
        range.setStart(node, index);
        range.setEnd(node, index + word.length);
        const tops = new Set([...range.getClientRects()].filter(({ width }) => width > 0).map(({ top }) => Math.round(top)));
        if (tops.size > 1) wrong.push(`the word ${quoted(word)} in ${named(element)} is torn over ${tops.size} lines`);
      }
    }
    return wrong;
  };

  /** Text over text or over a control it does not belong to, and siblings over each other. */
  const overlapping = () => {
    const wrong = [];
    const texts = lines().filter(({ box }) => box);
    const controls = [...document.querySelectorAll('button, select, input, textarea, canvas, progress, label.button')]
      .filter(isVisible)
      .map((element) => ({ element, ...seen(element, element.getBoundingClientRect()) }))
      .filter(({ box }) => box);
    // A message or a dialog lies over the page on purpose, but nothing in it over something else in it.
    const layers = new Map();
    const layer = (element) => {
      if (!element) return null;
      if (!layers.has(element)) layers.set(element, getComputedStyle(element).position === 'fixed' ? element : layer(element.parentElement));
      return layers.get(element);
    };
    const flat = texts.sort((a, b) => a.box.top - b.box.top);
    for (const [at, first] of flat.entries()) {
      for (let next = at + 1; next < flat.length && flat[next].box.top < first.box.bottom; next += 1) {
        const second = flat[next];
        const [across, down] = overlap(first.box, second.box);
        if (across > 1 && down > 1 && layer(first.element) === layer(second.element)) {
          wrong.push(
            `${quoted(first.text)} in ${named(first.element)} and ${quoted(second.text)} in ${named(second.element)} lie over each other by ${px(across)} × ${px(down)}`,
          );
        }
      }
      for (const { element, box } of controls) {
        const isLabel = [...(element.labels ?? [])].some((label) => label.contains(first.element));
        const belongs = element.contains(first.element) || first.element.contains(element) || isLabel;
        const [across, down] = overlap(first.box, box);
        if (!belongs && layer(element) === layer(first.element) && across > 1 && down > 1) {
          wrong.push(`${quoted(first.text)} in ${named(first.element)} lies over ${named(element)} by ${px(across)} × ${px(down)}`);
        }
      }
    }
    const inFlow = (element) => {
      const { position, display } = getComputedStyle(element);
      return !['absolute', 'fixed', 'sticky'].includes(position) && !display.startsWith('inline') && display !== 'contents';
    };
    for (const parent of document.querySelectorAll('body, body *')) {
      if (parent.closest('svg') || !parent.children.length || !isVisible(parent)) continue;
      const children = [...parent.children].filter((child) => child.tagName !== 'svg' && isVisible(child) && inFlow(child));
      const boxes = children.map((child) => ({ child, box: child.getBoundingClientRect() })).filter(({ box }) => box.width > 0 && box.height > 0);
      for (const [at, first] of boxes.entries()) {
        for (const second of boxes.slice(at + 1)) {
          const [across, down] = overlap(first.box, second.box);
          // Borders of neighbors may be one.
          if (across > 1.5 && down > 1.5) {
            wrong.push(`${named(first.child)} and its sibling ${named(second.child)} lie over each other by ${px(across)} × ${px(down)}`);
          }
        }
      }
    }
    return wrong;
  };

  /** A page wider than the window, what stands beside the window, and text that runs out of the box it stands in. */
  const outside = () => {
    const wrong = [];
    const { clientWidth, scrollWidth } = document.documentElement;
    if (scrollWidth > clientWidth) wrong.push(`the page is ${scrollWidth} px wide in a window of ${clientWidth} px`);
    for (const element of document.querySelectorAll('body *')) {
      // Plotly measures its letters on a drawing far beside the page.
      if (!isVisible(element) || element.parentElement.closest('svg') || element.closest('#js-plotly-tester')) continue;
      const rect = element.getBoundingClientRect();
      if (rect.width < 1 || rect.height < 1) continue;
      const { box } = seen(element, rect);
      if (box && (box.left < -1 || box.right > clientWidth + 1)) {
        wrong.push(`${named(element)} reaches from ${px(box.left)} to ${px(box.right)} in a window of ${px(clientWidth)}`);
      }
      const { overflowX } = getComputedStyle(element);
      if (isRolled(overflowX) && element.scrollWidth > element.clientWidth + 1 && element.tabIndex < 0) {
        wrong.push(`${named(element)} rolls sideways (${element.scrollWidth} px in ${element.clientWidth} px) and no key reaches it`);
      }
    }
    for (const { element, text, box } of lines()) {
      if (!box || element.closest('svg')) continue;
      let at = element;
      let isLaid = false;
      for (; at && at !== document.body; at = at.parentElement) {
        const style = getComputedStyle(at);
        isLaid ||= ['absolute', 'fixed', 'sticky'].includes(style.position);
        const isPainted = alpha(style.backgroundColor) > 0 || Number.parseFloat(style.borderLeftWidth) > 0 && alpha(style.borderLeftColor) > 0;
        if (isPainted && style.display !== 'inline') break;
      }
      // What is laid over a drawing has its place by the drawing's measure.
      if (!at || at === document.body || isLaid) continue;
      const edge = at.getBoundingClientRect();
      const beyond = Math.max(edge.left - box.left, box.right - edge.right, edge.top - box.top, box.bottom - edge.bottom);
      if (beyond > 1) wrong.push(`${quoted(text)} in ${named(element)} runs ${px(beyond)} out of ${named(at)}`);
    }
    return wrong;
  };

  /** Any color as red, green, blue (0–255) and opacity (0–1). */
  const known = new Map();
  const color = (text) => {
    if (!known.has(text)) {
      pen.canvas.width = pen.canvas.height = 1;
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = '#000';
      pen.fillStyle = text;
      pen.fillRect(0, 0, 1, 1);
      const [red, green, blue, opacity] = pen.getImageData(0, 0, 1, 1).data;
      known.set(text, { rgb: [red, green, blue], opacity: opacity / 255 });
    }
    return known.get(text);
  };
  const alpha = (text) => color(text).opacity;
  const over = (top, below) => top.rgb.map((part, at) => part * top.opacity + below[at] * (1 - top.opacity));
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };

  /** What is behind an element, itself included, from the page's ground up. */
  const ground = (element) =>
    [element, ...parents(element)].reverse().reduce(
      (below, part) => over(color(getComputedStyle(part).backgroundColor), below),
      color(getComputedStyle(document.documentElement).colorScheme.startsWith('dark') ? '#121212' : '#fff').rgb,
    );
  const shade = (element) => [element, ...parents(element)].reduce((product, part) => product * Number(getComputedStyle(part).opacity), 1);
  /** The contrast of a color on an element with what is behind it. */
  const stands = (element, text, isOwnGround = true) => {
    const behind = ground(isOwnGround ? element : element.parentElement);
    const paint = color(text);
    return contrast(over({ rgb: paint.rgb, opacity: paint.opacity * shade(element) }, behind), behind);
  };

  /** Text that can hardly be read on its ground: 4.5 : 1 is asked, 3 : 1 of large letters (WCAG 2.2, 1.4.3) and of old results. */
  const faint = () => {
    const wrong = [];
    const known = new Set();
    for (const { node, element, text, box } of lines()) {
      if (!box || known.has(node) || element.closest(':disabled, [aria-disabled=true], .unavailable')) continue;
      known.add(node);
      const style = getComputedStyle(element);
      const size = Number.parseFloat(style.fontSize);
      // What belongs to the scenario before is paler on purpose, and must be read all the same.
      const least = element.closest('.stale') || size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      const ratio = stands(element, element.closest('svg') ? style.fill : style.color);
      if (ratio < least) wrong.push(`${quoted(text)} in ${named(element)} has a contrast of ${ratio.toFixed(2)} : 1, not ${least} : 1`);
    }
    return wrong;
  };

  /** Controls that a finger misses: less than `least` high or wide. A label around a control counts as its target. */
  const small = (least) => {
    const wrong = [];
    for (const element of document.querySelectorAll('main button, main select, main input, main summary, main label.button, header button')) {
      const target = element.closest('label, .with-unit') ?? element;
      if (!isVisible(target) || element.type === 'file' || element.type === 'range') continue;
      const { width, height } = target.getBoundingClientRect();
      if (Math.min(width, height) < least - 1.5) wrong.push(`${named(target)} is ${px(width)} × ${px(height)}; a finger needs ${least} px`);
    }
    return wrong;
  };

  /** Whether a path can be seen: a box of some extent, and paint that stands out from its ground by 3 : 1. */
  const drawn = (path, area) => {
    const style = getComputedStyle(path);
    const rect = path.getBoundingClientRect();
    const edge = area.getBoundingClientRect();
    const problems = [];
    const [across, down] = overlap(rect, edge);
    if (!path.getAttribute('d')) problems.push('has no points');
    else if (Math.max(across, down) < 2 || Math.min(across, down) < -1) {
      problems.push(`is ${px(rect.width)} × ${px(rect.height)} at ${px(rect.left)}, ${px(rect.top)}, and so not in its area of ${px(edge.width)} × ${px(edge.height)} at ${px(edge.left)}, ${px(edge.top)}`);
    }
    const paints = [];
    if (style.stroke !== 'none' && Number.parseFloat(style.strokeWidth) > 0) paints.push([style.stroke, Number(style.strokeOpacity)]);
    if (style.fill !== 'none') paints.push([style.fill, Number(style.fillOpacity)]);
    const ratios = paints.map(([paint, opacity]) => (alpha(paint) * opacity > 0.01 ? stands(area, paint) : 1));
    const best = Math.max(1, ...ratios);
    if (best < 3) problems.push(`has a contrast of ${best.toFixed(2)} : 1 with its ground`);
    const beyond = Math.max(edge.left - rect.left, rect.right - edge.right, edge.top - rect.top, rect.bottom - edge.bottom);
    return { problems, across, down, beyond };
  };

  /**
   * Areas of lines: each must have as many lines as `least` says, drawn, inside the area and over most of its width.
   *
   * Lines that are no part of their area are found by `within`, a place of their own; their drawing cuts off what is beyond
   * the axes.
   */
  const undrawn = ({ areas, lines: selector, least = 1, minSpread = 0.3, within }) => {
    const wrong = [];
    const found = [...document.querySelectorAll(areas)].filter(isVisible);
    if (!found.length) return [`there is no ${areas}`];
    for (const area of found) {
      const place = within ? document.querySelector(within) : area;
      const hasWidth = (path) => Number.parseFloat(getComputedStyle(path).strokeWidth) > 0;
      const paths = [...(place?.querySelectorAll(selector) ?? [])].filter((path) => path.getAttribute('d') && hasWidth(path));
      if (paths.length < least) wrong.push(`${named(area)} has ${paths.length} lines (${selector}), not ${least}`);
      const { width } = area.getBoundingClientRect();
      let widest = 0;
      for (const path of paths) {
        const { problems, across, beyond } = drawn(path, area);
        widest = Math.max(widest, across);
        wrong.push(...problems.map((problem) => `${named(path)} in ${named(area)} ${problem}`));
        if (!within && beyond > 4) wrong.push(`${named(path)} runs ${px(beyond)} out of ${named(area)}`);
      }
      if (paths.length && widest < minSpread * width) {
        wrong.push(`the lines of ${named(area)} go over ${px(widest)} of ${px(width)}`);
      }
    }
    return wrong;
  };

  /** The share of a canvas that has color, the number of different colors, and over which share of its width they go. */
  const ink = (canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
    const colors = new Map();
    let [count, first, last] = [0, width, -1];
    for (let at = 0; at < width * height; at += 1) {
      if (data[at * 4 + 3] < 8) continue;
      count += 1;
      [first, last] = [Math.min(first, at % width), Math.max(last, at % width)];
      const key = `${data[at * 4] >> 4} ${data[at * 4 + 1] >> 4} ${data[at * 4 + 2] >> 4}`;
      colors.set(key, (colors.get(key) ?? 0) + 1);
    }
    const numColors = [...colors.values()].filter((pixels) => pixels > count / 200).length;
    return { share: count / (width * height), spread: Math.max(0, last - first + 1) / width, numColors };
  };

  /** Canvases that are blank, of one color, or drawn on a part of their width alone; and blurred ones. */
  const blank = ({ canvases, minShare = 0.02, minSpread = 0.5, minColors = 2 }) => {
    const wrong = [];
    const found = [...document.querySelectorAll(canvases)].filter(isVisible);
    if (!found.length) return [`there is no ${canvases}`];
    for (const canvas of found) {
      const { share, spread, numColors } = ink(canvas);
      if (share < minShare || spread < minSpread || numColors < minColors) {
        wrong.push(`${named(canvas)} has color on ${(share * 100).toFixed(1)} % of its area, over ${(spread * 100).toFixed(0)} % of its width, in ${numColors} colors`);
      }
      const rect = canvas.getBoundingClientRect();
      const scale = canvas.width / rect.width / devicePixelRatio;
      if (scale < 0.98 || scale > 1.02) wrong.push(`${named(canvas)} is drawn ${canvas.width} px wide and shown over ${px(rect.width)}`);
    }
    return wrong;
  };

  /** Lengths of bars beside each other with the room they have and the number that stands beside them. */
  const lengths = ({ rows, bar, room, number }) =>
    [...document.querySelectorAll(rows)].filter(isVisible).map((row) => {
      const box = (selector) => row.querySelector(selector)?.getBoundingClientRect();
      const [own, track] = [box(bar), box(room)];
      const filled = row.querySelector(bar);
      return {
        name: quoted(row.closest('table')?.caption?.textContent ?? '') || named(row),
        label: row.querySelector('th')?.textContent ?? '',
        text: row.querySelector(number)?.textContent ?? '',
        isMissing: Boolean(track) && !own,
        bar: own ? { left: own.left, width: own.width, height: own.height, contrast: stands(filled, getComputedStyle(filled).backgroundColor, false) } : null,
        room: track ? { left: track.left, width: track.width } : null,
      };
    });

  /** The bars of a drawing: each closed part of a path, in the pixels of the screen. */
  const columns = (selector) => {
    const path = document.querySelector(selector);
    const scale = path.getScreenCTM();
    const place = path.ownerSVGElement.parentElement.getBoundingClientRect();
    // As `bars.rs` writes them: a corner, up, across, down.
    const parts = [...path.getAttribute('d').matchAll(/M([\d.-]+) ([\d.-]+)v([\d.-]+)h([\d.-]+)/g)];
    return {
      paint: drawn(path, path.ownerSVGElement.parentElement).problems,
      room: { width: place.width, height: place.height },
      bars: parts.map(([, x, , height, width]) => ({ left: Number(x) * scale.a + scale.e - place.left, width: Number(width) * scale.a, height: -Number(height) * scale.d })),
    };
  };

  /** Lines of a drawing that are in none of the areas they are for. */
  const strayed = ({ lines: selector, areas }) => {
    const boxes = [...document.querySelectorAll(areas)].filter(isVisible).map((area) => area.getBoundingClientRect());
    const isInside = (rect) =>
      boxes.some((box) => rect.left > box.left - 4 && rect.right < box.right + 4 && rect.top > box.top - 4 && rect.bottom < box.bottom + 4);
    return [...document.querySelectorAll(selector)]
      .filter((path) => isVisible(path) && path.getAttribute('d'))
      .map((path) => ({ path, rect: path.getBoundingClientRect() }))
      .filter(({ rect }) => Math.max(rect.width, rect.height) > 1 && !isInside(rect))
      .map(({ path, rect }) => `${named(path)} goes over ${px(rect.width)} × ${px(rect.height)} at ${px(rect.left)}, ${px(rect.top)}, outside of every ${areas}`);
  };

  /** A chart's main line: its name in the legend, where its points are, and what the axes say there. */
  const points = ({ chart, subplot }) => {
    const place = document.querySelector(`.cartesianlayer > .subplot.${subplot}`);
    const [, x, y] = subplot.match(/^(x\d*)(y\d*)$/);
    const middle = (element) => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      return [(left + right) / 2, (top + bottom) / 2];
    };
    const factors = { k: 1e3, M: 1e6, '': 1 };
    const ticks = (axis, at) =>
      [...(place?.querySelectorAll(`.${axis}tick text`) ?? [])].map((text) => {
        const [, number, factor] = text.textContent.replace('−', '-').match(/^([\d.-]+)([kM]?)$/) ?? [];
        return { value: Number(number) * factors[factor], at: middle(text)[at] };
      });
    return {
      name: document.querySelector(`${chart} .legend .main`)?.textContent.trim(),
      unit: document.querySelector(`${chart} .unit-above`)?.textContent.trim() ?? '',
      ticks: [ticks(x, 0), ticks(y, 1)],
      points: [...(place?.querySelectorAll('.points path.point') ?? [])].map(middle),
    };
  };

  return { clipped, overlapping, outside, faint, small, undrawn, blank, lengths, columns, strayed, points };
};
