// Looks at an HTML report in headless Chromium: tells what it says and asks for, tries to break its policy, uses its controls, and takes a picture.
// docs/report.md says how to run it; needs puppeteer-core and /usr/bin/chromium.

import { createRequire } from 'node:module';

// From where it is started, not from here: the repository has no node_modules.
const puppeteer = createRequire(`${process.cwd()}/`)('puppeteer-core');
const [file, out, scheme] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage();
const said = [];
page.on('console', (m) => said.push(`console ${m.type()}: ${m.text()}`));
page.on('pageerror', (e) => said.push(`error: ${e.message}`));
page.on('request', (r) => { if (r.url() !== `file://${file}`) said.push(`request ${r.url()}`); });
page.on('dialog', (d) => { said.push(`dialog ${d.message()}`); d.dismiss(); });
await page.setViewport({ width: 1280, height: 900 });
await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme ?? 'light' }]);
const t0 = Date.now();
await page.goto(`file://${file}`);
console.log('load ms', Date.now() - t0);
// policy: an injected script and image must be refused
const refused = await page.evaluate(async () => {
  const hits = [];
  document.addEventListener('securitypolicyviolation', (e) => hits.push(e.violatedDirective));
  const s = document.createElement('script'); s.textContent = 'window.evil = 1'; document.body.append(s);
  const i = document.createElement('img'); i.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACw='; document.body.append(i);
  try { await fetch('data:text/plain,x'); hits.push('FETCH WORKED'); } catch { }
  const p = document.createElement('p'); p.setAttribute('style', 'color: red'); document.body.append(p);
  await new Promise((r) => setTimeout(r, 200));
  const out = { evil: window.evil, hits }; s.remove(); i.remove(); p.remove(); return out;
});
console.log(JSON.stringify(refused));
const n0 = said.length;
console.log('before/after policy test', JSON.stringify(said.filter((s) => !/violates the following|Refused|Fetch API/.test(s))));
console.log(JSON.stringify(await page.evaluate(() => ({ img: document.querySelectorAll('img').length, scripts: document.scripts.length, rows: document.querySelectorAll('tbody tr').length, frames: document.querySelectorAll('.frame').length, sections: [...document.querySelectorAll('h2')].map((h) => h.textContent), tools: [...document.querySelectorAll('.tools .quiet')].map((x) => x.textContent), wide: document.documentElement.scrollWidth > innerWidth }))));
// search, sort, page, zoom
await page.type('#stores input[type=search], #sites input[type=search]', 'leak');
const th = await page.$('#sites th:nth-child(2)'); if (th) await th.click();
const row = await page.$('#sites tr.opens'); if (row) await row.click();
const on = await page.$('#stores button:last-child'); if (on) { const off = await page.evaluate((b) => b.disabled || b.hidden, on); if (!off) await on.click(); }
const svg = await page.$('#timeline svg');
if (svg) { await svg.scrollIntoView(); const b = await svg.boundingBox(); await page.mouse.move(b.x + 300, b.y + 60); await page.mouse.down(); await page.mouse.move(b.x + 600, b.y + 80); await page.mouse.up(); await page.mouse.move(b.x + 500, b.y + 80); }
console.log('zoomed', await page.evaluate(() => document.querySelector('#timeline .legend .quiet').textContent), '| tip:', await page.evaluate(() => document.getElementById('tip').textContent.replace(/\n/g, ' / ')));
const frames = await page.$$('#flame .frame'); if (frames.length > 3) await frames[3].click();
await page.screenshot({ path: out, fullPage: true });
console.log('said', JSON.stringify(said.slice(n0)));
await browser.close();
