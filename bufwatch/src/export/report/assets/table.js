// A table that is searched, sorted and paged: of ten thousand rows twenty are in the page at a time.

const PAGE_ROWS = 20;

// columns: { title, value(row), show(row, value) → text or node, isText }; the first sort is by `sortBy`, the most first.
// total: how many rows there are beyond those that are here. detail(row): text that a click on the row opens.
function table(place, { columns, rows, sortBy = 0, total = rows.length, noun, detail }) {
  let sort = { column: sortBy, isUp: columns[sortBy].isText === true };
  let words = [];
  let page = 0;
  const texts = new Map();

  const search = element('input', { type: 'search', placeholder: `search ${noun}`, 'aria-label': `search ${noun}` });
  const told = element('span', { class: 'quiet', 'aria-live': 'polite' });
  const back = element('button', { type: 'button' }, '‹ back');
  const on = element('button', { type: 'button' }, 'on ›');
  const head = element('tr');
  const body = element('tbody');
  const tools = element('div', { class: 'tools' }, search, told, element('span', { class: 'spacer' }), back, on);
  const grid = element('table', {}, element('thead', {}, head), body);
  place.append(element('div', { class: 'panel' }, tools, element('div', { class: 'scroll' }, grid)));

  const textOf = (row) => {
    if (!texts.has(row)) {
      const all = columns.filter((column) => column.isText).map((column) => column.value(row));
      texts.set(row, all.concat(detail ? detail(row) : []).join(' ').toLowerCase());
    }
    return texts.get(row);
  };

  function found() {
    const { column, isUp } = sort;
    const { value, isText } = columns[column];
    const all = words.length ? rows.filter((row) => words.every((word) => textOf(row).includes(word))) : rows.slice();
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      // What is not known comes last either way.
      if (x === null || x === undefined) return y === null || y === undefined ? 0 : 1;
      if (y === null || y === undefined) return -1;
      const by = isText ? x.localeCompare(y) : x - y;
      return isUp ? by : -by;
    };
    return all.sort(order);
  }

  function draw() {
    const all = found();
    const pages = Math.max(1, Math.ceil(all.length / PAGE_ROWS));
    page = Math.min(page, pages - 1);
    const from = page * PAGE_ROWS;
    const shown = all.slice(from, from + PAGE_ROWS);
    body.replaceChildren(...shown.map(drawRow));
    const some = all.length === 0 ? 'none' : `${count(from + 1)}–${count(from + shown.length)} of ${count(all.length)}`;
    const kept = words.length ? `${some} found in ${count(rows.length)}` : some;
    told.textContent = total > rows.length ? `${kept}; the ${count(rows.length)} largest of ${count(total)}` : kept;
    back.disabled = page === 0;
    on.disabled = page >= pages - 1;
    for (const button of [back, on]) button.hidden = pages === 1;
    for (const [index, cell] of [...head.children].entries()) {
      const isSorted = index === sort.column;
      cell.setAttribute('aria-sort', isSorted ? (sort.isUp ? 'ascending' : 'descending') : 'none');
      cell.textContent = `${columns[index].title}${isSorted ? (sort.isUp ? ' ▲' : ' ▼') : ''}`;
    }
  }

  function drawRow(row) {
    const cells = columns.map((column) => {
      const value = column.value(row);
      const shown = column.show ? column.show(value, row) : value;
      return element('td', { class: column.isText && 'text' }, shown === null || shown === undefined ? UNKNOWN : shown);
    });
    const line = element('tr', { class: detail && 'opens' }, ...cells);
    if (detail) {
      line.addEventListener('click', () => {
        if (String(getSelection())) return;
        const next = line.nextElementSibling;
        if (next && next.classList.contains('detail')) next.remove();
        else line.after(element('tr', { class: 'detail' }, element('td', { colspan: columns.length }, detail(row))));
      });
    }
    return line;
  }

  for (const [index, column] of columns.entries()) {
    const cell = element('th', { class: column.isText && 'text', scope: 'col', tabindex: 0, title: column.hint });
    const choose = () => {
      sort = { column: index, isUp: sort.column === index ? !sort.isUp : column.isText === true };
      page = 0;
      draw();
    };
    cell.addEventListener('click', choose);
    cell.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' || event.key === ' ') {
        event.preventDefault();
        choose();
      }
    });
    head.append(cell);
  }
  search.addEventListener('input', () => {
    words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    page = 0;
    draw();
  });
  back.addEventListener('click', () => { page -= 1; draw(); });
  on.addEventListener('click', () => { page += 1; draw(); });
  draw();
}
