// Puts the page together: what has nothing to say is left out.

function page(data) {
  document.title = `bufwatch report: ${data.file}`;
  $('command').textContent = data.command || data.file;
  $('subject').textContent = [...data.subject, data.file].join('\n');
  $('in-short').textContent = data.in_short;
  facts(data);
  section('findings', data.findings.length, (place) => place.append(...data.findings.map(finding)));
  section('gone', data.gone.length, (place) => place.append(told(data.gone.map((it) => [it.first_ns, `${it.kind}, ${bytes(it.bytes)} at most, until ${time(it.gone_ns)}: ${it.summary}`]))));
  const flags = data.findings.filter((it) => it.first_ns !== null).map((it) => ({ at: it.first_ns, text: `${it.kind}, now ${bytes(it.bytes)}` }));
  section('timeline', data.timeline.curves.some((curve) => curve.values.length), (place) => timeline(place, data.timeline, { flags, elapsed: data.elapsed_ns }));
  section('rss', data.rss, (place) => rss(place, data.rss));
  section('steps', data.steps.length, (place) => place.append(told(data.steps.map((it) => [it.at_ns, it.text]))));
  section('flame', data.flame.nodes.length, (place) => flame(place, data.flame));
  section('sites', data.sites.length, (place) => sites(place, data));
  section('holders', data.census && data.census.holders.length, (place) => holders(place, data.census));
  section('parents', data.census && data.census.parents.length, (place) => parents(place, data.census));
  section('stores', data.stores.length, (place) => stores(place, data));
  section('freed', data.freed.length, (place) => place.append(told(data.freed.map((it) => [bytes(it.resident), site(it.label, it.via)]))));
  const gaps = data.census ? data.census.gaps.map((gap) => `the census does not cover: ${gap}`) : [];
  $('trust').append(...data.trust.concat(gaps).map((line) => element('li', {}, line)));
}

function section(name, has, draw) {
  if (has) draw($(name));
  else $(`${name}-section`).remove();
}

function site(label, via) {
  return via ? `${label} via ${via}` : label;
}

function facts({ facts: it, min_size: least }) {
  const fact = (title, value, note, tone) => element('div', { class: 'fact', tone }, element('i', {}, title), element('b', {}, value), element('small', {}, note));
  $('facts').append(
    fact('RSS', bytes(it.rss), 'in RAM', 'rss'),
    fact('arrayBuffers', bytes(it.array_buffers), 'as Node counts it', 'array-buffers'),
    fact('live stores', bytes(it.live_bytes), `${count(it.n_live)} of ${bytes(least)} and more; peak ${bytes(it.peak_bytes)}`, 'live'),
    fact('V8 heap', bytes(it.v8_heap), 'in RAM, sampled', 'v8'),
    fact('allocated', bytes(it.created_bytes), `in ${count(it.n_created)} stores`, null),
    fact('GC', `${count(it.n_minor)} + ${count(it.n_major)}`, `${time(it.gc_total_ns)} in all, longest ${time(it.gc_longest_ns)}`, null),
  );
}

function finding(it) {
  const many = it.n_parents === 1 ? 'in 1 array buffer' : `in ${count(it.n_parents)} array buffers`;
  const head = element('h3', {}, element('b', {}, bytes(it.bytes)), it.kind, element('span', { class: 'badge' }, `confidence ${it.confidence}`), it.n_parents ? element('span', { class: 'quiet' }, many) : null);
  const where = element('dl', { class: 'where' });
  const say = (title, ...shown) => where.append(element('dt', {}, title), element('dd', {}, ...shown));
  const line = it.place ?? it.site;
  if (line) say('line', site(line, it.via));
  if (it.holder.length) say('holder', ...it.holder.map((step) => element('span', { class: 'step' }, step)));
  if (it.first_ns !== null) say('told first', `${time(it.first_ns)} after the start`);
  const remedy = element('div', { class: 'remedy' }, element('p', {}, it.remedy), it.remedy_code ? element('pre', {}, it.remedy_code) : null);
  const evidence = element('ul', {}, ...it.evidence.map((text) => element('li', {}, text)));
  return element('article', { class: 'finding', tone: it.confidence }, head, element('p', {}, it.summary), where, evidence, remedy);
}

function told(rows) {
  const left = (it) => (typeof it === 'number' ? time(it) : it);
  return element('div', { class: 'panel' }, element('ul', { class: 'told' }, ...rows.map(([at, text]) => element('li', {}, element('time', {}, left(at)), ' ', text))));
}

function partTone(name) {
  if (name.startsWith('stores') || name === 'growable') return 'live';
  if (name === 'allocator_free') return 'destroyed';
  if (name === 'allocator_other') return 'array-buffers';
  if (name.startsWith('v8')) return 'v8';
  return name === 'binaries' || name === 'files' ? 'rss' : 'low';
}

function rss(place, it) {
  const bar = element('div', { class: 'bar', role: 'img', 'aria-label': 'RSS by what it is for' });
  const parts = element('div', { class: 'parts' });
  for (const [name, title, n] of it.parts) {
    const tone = partTone(name);
    const piece = element('span', { tone });
    piece.style.flexGrow = n / Math.max(1, it.rss);
    piece.style.flexBasis = '0';
    piece.addEventListener('pointermove', (event) => showTip(event, `${title}: ${bytes(n)}`));
    piece.addEventListener('pointerleave', hideTip);
    bar.append(piece);
    parts.append(element('div', { class: 'part' }, element('span', { class: 'swatch', tone }), element('span', {}, title), element('span', {}, bytes(n)), element('span', { class: 'quiet' }, percent(n / Math.max(1, it.rss)))));
  }
  const notes = [`${bytes(it.rss)} in RAM, looked at ${time(it.age_ns)} before`];
  if (Math.abs(it.unexplained) > it.rss / 100) notes.push(`${bytes(it.unexplained)} is not explained`);
  if (it.swapped) notes.push(`${bytes(it.swapped)} is swapped out`);
  place.append(element('div', { class: 'panel' }, bar, parts, element('p', { class: 'quiet' }, notes.join('; '))));
}

const number = (title, value, show, hint) => ({ title, value, show, hint });

function sites(place, data) {
  table(place, {
    noun: 'lines',
    rows: data.sites,
    total: data.n_sites_total,
    columns: [
      { title: 'line', isText: true, value: (it) => site(it.label, it.via), show: (_, it) => element('span', {}, it.label, it.via ? element('small', {}, ` via ${it.via}`) : null) },
      number('live', (it) => it.live, bytes),
      number('stores', (it) => it.n_live, count),
      number('in RAM', (it) => it.resident, bytes, 'of the live ones, as far as they were looked at'),
      number('peak', (it) => it.peak, bytes),
      number('allocated', (it) => it.created, bytes),
      number('life p50', (it) => it.p50 && it.p50.ns, (_, it) => bound(it.p50), 'of its dead stores'),
      number('p99', (it) => it.p99 && it.p99.ns, (_, it) => bound(it.p99), 'of its dead stores'),
      number('survive', (it) => it.survival, percent, 'lived through two major collections'),
    ],
    sortBy: 1,
    detail: (it) => [...it.stack, ...(it.begun_by.length ? ['── begun by ──', ...it.begun_by] : []), it.n_stacks > 1 ? `${count(it.n_stacks)} stacks; this one has the most` : ''].filter(Boolean).join('\n') || 'no stack',
  });
}

function holders(place, census) {
  table(place, {
    noun: 'holders',
    rows: census.holders,
    total: census.n_holders_total,
    columns: [
      { title: 'holder', isText: true, value: (it) => it.path },
      number('size', (it) => it.bytes, bytes),
      number('retained', (it) => it.retained, bytes, 'what would go with the holder'),
      number('in use', (it) => (it.bytes ? it.covered / it.bytes : null), percent, 'shown by views'),
      number('buffers', (it) => it.n_parents, count),
      number('views', (it) => it.n_views, count),
    ],
    sortBy: 1,
  });
}

function parents(place, census) {
  table(place, {
    noun: 'array buffers',
    rows: census.parents,
    total: census.n_parents_total,
    columns: [
      { title: 'holder', isText: true, value: (it) => `${it[6][0] ?? UNKNOWN}${it[7] ? ` ← ${it[7]}` : ''}` },
      number('unseen', (it) => it[0] - it[1], bytes, 'kept alive, and no view shows it'),
      number('size', (it) => it[0], bytes),
      number('in use', (it) => (it[0] ? it[1] / it[0] : null), percent),
      number('views', (it) => it[2], count),
      number('kind', (it) => it[3]),
      number('age', (it) => it[4], time, 'of those that were traced'),
    ].map((column) => (column.title === 'kind' ? { ...column, isText: true } : column)),
    sortBy: 1,
    detail: (it) => [...it[6].map((path) => `held by ${path}`), it[5] ? 'its array buffer is held itself' : '', it[7] ? `allocated at ${it[7]}` : 'older than the recording, or too small to be traced'].filter(Boolean).join('\n'),
  });
}

function stores(place, data) {
  table(place, {
    noun: 'stores',
    rows: data.stores,
    total: data.n_stores_total,
    columns: [
      { title: 'line', isText: true, value: (it) => site(it[6], it[7]) },
      number('size', (it) => it[1], bytes),
      number('in RAM', (it) => it[5], bytes),
      number('age', (it) => it[3], time),
      number('GCs survived', (it) => it[4], count, 'major ones'),
      { title: 'kind', value: (it) => it[2], isText: true },
      number('store', (it) => it[0], (n) => `#${n}`),
    ],
    sortBy: 1,
  });
}

page(JSON.parse($('data').textContent));
