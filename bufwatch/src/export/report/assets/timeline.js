// The timeline: curves over the session with collections and censuses below them, and a closer look at a part of it.

const CHART = { height: 250, left: 74, right: 14, top: 10, lane: 20 };

// The step of an axis of bytes: a power of two, of which at most five fit.
function niceStep(most) {
  return 2 ** Math.max(0, Math.ceil(Math.log2(most / 5)));
}

const TIME_STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

function timeStep(ns) {
  const s = ns / 1e9;
  return 1e9 * (TIME_STEPS.find((step) => s / step <= 8) ?? Math.ceil(s / 8 / 86400) * 86400);
}

// charts: the curves of each; they share the time axis.
function timeline(place, data, { flags, elapsed }) {
  const length = Math.max(1, elapsed);
  let view = { from: 0, to: length };
  const hidden = new Set();
  const drawn = [];

  const legend = element('div', { class: 'legend' });
  const all = element('button', { type: 'button', disabled: '' }, 'see all');
  const range = element('span', { class: 'quiet' });
  for (const curve of data.curves) {
    const box = element('input', { type: 'checkbox', checked: '', tone: curve.key });
    box.addEventListener('change', () => {
      if (box.checked) hidden.delete(curve.key);
      else hidden.add(curve.key);
      draw();
    });
    legend.append(element('label', {}, box, element('span', { class: 'swatch', tone: curve.key }), curve.name));
  }
  legend.append(element('span', { class: 'spacer' }), range, all);
  const panel = element('div', { class: 'panel' }, legend);
  place.append(panel);
  const memory = chart('memory over time', CHART.height, () => data.curves.filter((curve) => !hidden.has(curve.key)), true);
  const rates = chart('allocated and freed per second', 110, () => data.rates, false);
  panel.append(memory.svg, element('div', { class: 'legend' },
    ...data.rates.map((curve) => element('label', {}, element('span', { class: 'swatch', tone: curve.key }), `${curve.name} / s`)),
    element('span', { class: 'quiet' }, data.gcs.length < data.n_gcs ? `the last ${count(data.gcs.length)} of ${count(data.n_gcs)} collections are marked` : `${count(data.n_gcs)} collections`)), rates.svg);

  function chart(name, height, curves, hasLanes) {
    const svg = shape('svg', { role: 'img', 'aria-label': name, tabindex: 0, height });
    const it = { svg, height, curves, hasLanes, width: 0 };
    drawn.push(it);
    listen(it);
    return it;
  }

  const at = (it, t) => CHART.left + ((t - view.from) / (view.to - view.from)) * (it.width - CHART.left - CHART.right);
  const timeAt = (it, event) => {
    const x = event.clientX - it.svg.getBoundingClientRect().left;
    const share = (x - CHART.left) / Math.max(1, it.width - CHART.left - CHART.right);
    return view.from + Math.min(1, Math.max(0, share)) * (view.to - view.from);
  };
  const valueAt = (curve, t) => curve.values[Math.min(curve.values.length - 1, Math.floor(t / curve.step_ns))];

  function draw() {
    for (const it of drawn) drawOne(it);
    const isAll = view.from <= 0 && view.to >= length;
    all.disabled = isAll;
    range.textContent = isAll ? '' : `${time(view.from)} – ${time(view.to)}`;
  }

  function drawOne(it) {
    it.width = Math.max(320, it.svg.clientWidth || 1000);
    it.svg.setAttribute('viewBox', `0 0 ${it.width} ${it.height}`);
    const bottom = it.height - 20 - (it.hasLanes ? 2 * CHART.lane : 0);
    const curves = it.curves();
    const visible = (curve) => {
      const first = Math.max(0, Math.floor(view.from / curve.step_ns) - 1);
      return { first, values: curve.values.slice(first, Math.ceil(view.to / curve.step_ns) + 2) };
    };
    const most = Math.max(1, ...curves.map((curve) => visible(curve).values.reduce((a, b) => Math.max(a, b), 0)));
    const step = niceStep(most);
    // The top line is the first one above all curves.
    const top = Math.ceil(most / step) * step;
    const y = (value) => bottom - (value / top) * (bottom - CHART.top);
    const nodes = [];
    for (let value = 0; value <= top; value += step) {
      nodes.push(shape('line', { class: 'grid', x1: CHART.left, x2: it.width - CHART.right, y1: y(value), y2: y(value) }));
      nodes.push(shape('text', { x: CHART.left - 8, y: y(value) + 4, 'text-anchor': 'end' }, bytes(value)));
    }
    const tick = timeStep(view.to - view.from);
    for (let t = Math.ceil(view.from / tick) * tick; t <= view.to; t += tick) {
      nodes.push(shape('line', { class: 'grid', x1: at(it, t), x2: at(it, t), y1: CHART.top, y2: bottom }));
      const x = at(it, t);
      // The last one would not fit to the right of its line.
      const anchor = x > it.width - CHART.right - 20 ? 'end' : 'middle';
      nodes.push(shape('text', { x, y: it.height - 5, 'text-anchor': anchor }, time(t)));
    }
    const inside = shape('svg', { x: CHART.left, y: 0, width: Math.max(1, it.width - CHART.left - CHART.right), height: it.height, overflow: 'hidden', viewBox: `${CHART.left} 0 ${Math.max(1, it.width - CHART.left - CHART.right)} ${it.height}` });
    for (const curve of curves) {
      const { first, values } = visible(curve);
      if (!values.length) continue;
      const points = values.map((value, n) => `${at(it, Math.min(length, (first + n + 0.5) * curve.step_ns)).toFixed(1)},${y(value).toFixed(1)}`);
      const [start, end] = [points[0].split(',')[0], points[points.length - 1].split(',')[0]];
      inside.append(shape('path', { class: 'area', tone: curve.key, d: `M${start},${bottom}L${points.join('L')}L${end},${bottom}Z` }));
      inside.append(shape('path', { class: 'curve', tone: curve.key, d: `M${points.join('L')}` }));
    }
    if (it.hasLanes) drawLanes(it, inside, nodes, bottom);
    it.svg.replaceChildren(...nodes, inside);
  }

  function drawLanes(it, inside, nodes, bottom) {
    const isIn = (t) => t >= view.from && t <= view.to;
    const [gcs, censuses] = [bottom + 8, bottom + 8 + CHART.lane];
    nodes.push(shape('text', { x: CHART.left - 8, y: gcs + 10, 'text-anchor': 'end' }, 'GC'));
    nodes.push(shape('text', { x: CHART.left - 8, y: censuses + 10, 'text-anchor': 'end' }, 'census'));
    for (const [t, , isMajor] of data.gcs) {
      if (isIn(t)) inside.append(shape('line', { class: isMajor ? 'major' : 'minor', x1: at(it, t), x2: at(it, t), y1: gcs + (isMajor ? 0 : 5), y2: gcs + 13 }));
    }
    for (const [t] of data.censuses) {
      const x = at(it, t);
      if (isIn(t)) inside.append(shape('path', { class: 'census', d: `M${x - 4},${censuses + 12}L${x + 4},${censuses + 12}L${x},${censuses + 3}Z` }));
    }
    for (const flag of flags) {
      const x = at(it, flag.at);
      if (isIn(flag.at)) inside.append(shape('path', { class: 'flag', d: `M${x},${CHART.top}L${x + 11},${CHART.top + 5}L${x},${CHART.top + 10}Z` }), shape('line', { class: 'cursor', x1: x, x2: x, y1: CHART.top, y2: bottom }));
    }
  }

  function look(from, to) {
    const span = Math.min(length, Math.max(1e7, to - from));
    const start = Math.min(Math.max(0, from), length - span);
    view = { from: start, to: start + span };
    draw();
  }

  function told(it, t) {
    const near = (view.to - view.from) / 120;
    const lines = [time(t)].concat(it.curves().map((curve) => `${curve.name}: ${bytes(valueAt(curve, t))}${curve.unit === 'B/s' ? '/s' : ''}`));
    if (it.hasLanes) {
      const closest = (marks) => marks.reduce((best, mark) => (Math.abs(mark[0] - t) < near && (!best || Math.abs(mark[0] - t) < Math.abs(best[0] - t)) ? mark : best), null);
      const gc = closest(data.gcs);
      if (gc) lines.push(`${gc[2] ? 'major' : 'minor'} GC: ${time(gc[1])}`);
      const census = closest(data.censuses);
      if (census) lines.push(`census: ${count(census[2])} array buffers, ${bytes(census[3])} kept alive unseen; stopped for ${time(census[1])}`);
      for (const flag of flags) if (Math.abs(flag.at - t) < near) lines.push(`told first: ${flag.text}`);
    }
    return lines.join('\n');
  }

  function listen(it) {
    let began = null;
    const marks = () => it.svg.querySelectorAll('.selection, .pointer');
    it.svg.addEventListener('pointerdown', (event) => {
      began = timeAt(it, event);
      it.svg.setPointerCapture(event.pointerId);
    });
    it.svg.addEventListener('pointermove', (event) => {
      const t = timeAt(it, event);
      for (const mark of marks()) mark.remove();
      if (began !== null) {
        const [x1, x2] = [at(it, Math.min(began, t)), at(it, Math.max(began, t))];
        it.svg.append(shape('rect', { class: 'selection', x: x1, width: Math.max(0, x2 - x1), y: CHART.top, height: it.height - 30 }));
      }
      it.svg.append(shape('line', { class: 'cursor pointer', x1: at(it, t), x2: at(it, t), y1: CHART.top, y2: it.height - 20 }));
      showTip(event, told(it, t));
    });
    it.svg.addEventListener('pointerup', (event) => {
      const t = timeAt(it, event);
      const [from, to] = [Math.min(began ?? t, t), Math.max(began ?? t, t)];
      began = null;
      // A click is no selection.
      if (to - from > (view.to - view.from) / 100) look(from, to);
    });
    it.svg.addEventListener('pointerleave', () => {
      for (const mark of marks()) mark.remove();
      hideTip();
    });
    it.svg.addEventListener('dblclick', () => look(0, length));
    it.svg.addEventListener('keydown', (event) => {
      const span = view.to - view.from;
      const middle = (view.from + view.to) / 2;
      const moves = {
        '+': () => look(middle - span / 4, middle + span / 4),
        '-': () => look(middle - span, middle + span),
        ArrowLeft: () => look(view.from - span / 5, view.to - span / 5),
        ArrowRight: () => look(view.from + span / 5, view.to + span / 5),
        0: () => look(0, length),
      };
      const move = moves[event.key === '=' ? '+' : event.key];
      if (move) {
        event.preventDefault();
        move();
      }
    });
  }

  all.addEventListener('click', () => look(0, length));
  new ResizeObserver(draw).observe(panel);
  draw();
}
