// Elements and words: every text goes in as text, never as markup.

const $ = (id) => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';

function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    // What an attribute cannot say under this page's policy, the object model can.
    if (key === 'tone') node.style.setProperty('--tone', `var(--${value})`);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const UNKNOWN = '–';

// Binary multiples with three digits: 16.0 KiB, 9.77 MiB.
function bytes(n) {
  if (n === null || n === undefined) return UNKNOWN;
  const sign = n < 0 ? '−' : '';
  let value = Math.abs(n);
  if (value < 1024) return `${sign}${Math.round(value)} B`;
  let unit = -1;
  while (unit < 0 || (value >= 999.5 && unit < 4)) {
    value /= 1024;
    unit += 1;
  }
  const digits = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${sign}${value.toFixed(digits)} ${['KiB', 'MiB', 'GiB', 'TiB', 'PiB'][unit]}`;
}

function count(n) {
  return n === null || n === undefined ? UNKNOWN : String(n).replace(/\B(?=(\d{3})+$)/g, ',');
}

function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return UNKNOWN;
  const value = share * 100;
  if (value > 0 && value < 0.05) return '<0.1 %';
  return `${value === 0 || value >= 9.95 ? value.toFixed(0) : value.toFixed(1)} %`;
}

// 0.8 ms, 1.9 s, 3m41s, 2h05m.
function time(ns) {
  if (ns === null || ns === undefined) return UNKNOWN;
  const s = ns / 1e9;
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (ns === 0) return '0 s';
  if (s < 1e-3) return `${(ns / 1e3).toFixed(1)} µs`;
  if (s < 1) return `${(ns / 1e6).toFixed(1)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d${two((s % 86400) / 3600)}h`;
}

function bound(quantile) {
  return quantile ? `${quantile.is_more ? '>' : '≤'} ${time(quantile.ns)}` : UNKNOWN;
}

function showTip(event, text) {
  const tip = $('tip');
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = event.clientX + 14 + width > innerWidth ? event.clientX - width - 10 : event.clientX + 14;
  const top = event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function hideTip() {
  $('tip').hidden = true;
}
