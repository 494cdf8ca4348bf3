// The call tree as a flame graph that hangs down. Only what is wide enough to be seen is in the page.

const ROW = 21;
const NARROW = 0.0012;

function flame(place, data) {
  // [parent, name, kind, live, allocated]: parents come first.
  const nodes = data.nodes.map(([parent, name, kind, live, created], index) => ({ index, parent, name: data.names[name], kind, values: [live, created], children: [] }));
  const roots = [];
  for (const node of nodes) (node.parent === null ? roots : nodes[node.parent].children).push(node);
  let measure = data.total[0] > 0 ? 0 : 1;
  let focus = null;
  let words = '';

  const canvas = element('div', { class: 'flame' });
  const told = element('span', { class: 'quiet', 'aria-live': 'polite' });
  const search = element('input', { type: 'search', placeholder: 'search functions and files', 'aria-label': 'search functions and files' });
  const buttons = ['live now', 'allocated in all'].map((title, which) => {
    const button = element('button', { type: 'button' }, title);
    button.addEventListener('click', () => {
      measure = which;
      draw();
    });
    return button;
  });
  const out = element('button', { type: 'button' }, 'see all');
  out.addEventListener('click', () => {
    focus = null;
    draw();
  });
  search.addEventListener('input', () => {
    words = search.value.toLowerCase().trim();
    draw();
  });
  const keys = [['js', 'your code'], ['node', 'Node'], ['name', 'API, or what the event loop did'], ['cut', 'not read']];
  const legend = element('div', { class: 'legend' }, ...keys.map(([key, title]) => element('label', {}, element('span', { class: 'swatch', tone: key }), title)));
  place.append(element('div', { class: 'panel' }, element('div', { class: 'tools' }, ...buttons, search, told, element('span', { class: 'spacer' }), out), legend, canvas));

  const valueOf = (node) => node.values[measure];
  const tone = (kind) => (['js', 'node', 'cut'].includes(kind) ? kind : 'name');
  const isFound = (node) => words !== '' && node.name.toLowerCase().includes(words);

  function draw() {
    const top = focus ? [focus] : roots.filter((root) => valueOf(root) > 0);
    const sum = Math.max(1, top.reduce((all, node) => all + valueOf(node), 0));
    const frames = [];
    const above = [];
    for (let node = focus && nodes[focus.parent]; node; node = nodes[node.parent]) above.unshift(node);
    above.forEach((node, depth) => frames.push({ node, depth, x: 0, width: 1, isAbove: true }));
    let deepest = above.length;
    let narrow = 0;
    const lay = (list, depth, from) => {
      let x = from;
      for (const node of list.slice().sort((a, b) => valueOf(b) - valueOf(a))) {
        const width = valueOf(node) / sum;
        if (width >= NARROW) {
          frames.push({ node, depth, x, width });
          deepest = Math.max(deepest, depth + 1);
          pending.push([node.children, depth + 1, x]);
        } else if (valueOf(node) > 0) narrow += 1;
        x += width;
      }
    };
    const pending = [[top, above.length, 0]];
    while (pending.length) lay(...pending.pop());
    canvas.style.height = `${deepest * ROW}px`;
    canvas.replaceChildren(...frames.map(drawFrame));
    buttons.forEach((button, which) => button.setAttribute('aria-pressed', which === measure));
    out.disabled = focus === null;
    const notes = [`${bytes(data.total[measure])} in all`];
    if (narrow) notes.push(`${count(narrow)} too narrow to be drawn`);
    if (data.not_listed[measure]) notes.push(`${bytes(data.not_listed[measure])} of stacks that are not listed`);
    if (data.n_cut) notes.push(`${count(data.n_cut)} stacks are cut`);
    if (words) notes.push(`${bytes(foundBytes(top))} found`);
    told.textContent = notes.join('; ');
  }

  // Of the outermost ones that are found: what lies below them is theirs.
  function foundBytes(list) {
    const pending = list.slice();
    let sum = 0;
    while (pending.length) {
      const node = pending.pop();
      if (isFound(node)) sum += valueOf(node);
      else pending.push(...node.children);
    }
    return sum;
  }

  function drawFrame({ node, depth, x, width, isAbove }) {
    const mark = isAbove ? ' above' : words === '' ? '' : isFound(node) ? ' found' : ' missed';
    const frame = element('button', { type: 'button', class: `frame${mark}`, tone: tone(node.kind) }, width > 0.012 ? node.name : '');
    frame.style.left = `${x * 100}%`;
    frame.style.width = `calc(${width * 100}% - 1px)`;
    frame.style.top = `${depth * ROW}px`;
    frame.setAttribute('aria-label', `${node.name}, ${bytes(valueOf(node))}`);
    frame.addEventListener('click', () => {
      focus = node === focus ? null : node;
      hideTip();
      draw();
    });
    frame.addEventListener('pointermove', (event) => showTip(event, `${node.name}\n${bytes(node.values[0])} live, ${bytes(node.values[1])} allocated; ${percent(valueOf(node) / Math.max(1, data.total[measure]))} of all`));
    frame.addEventListener('pointerleave', hideTip);
    return frame;
  }

  draw();
}
