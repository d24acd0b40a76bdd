import * as charts from '/charts.js';
import { draw as drawTimeline } from '/pipeline.js';

const $ = id => document.getElementById(id);
const most = 8000;
let zoomed = false, dirty = false, marks = [], status = {}, asking = null;
const history = JSON.parse(sessionStorage.getItem('history') || '[]');
let recalled = history.length;

// A token may come in the address, behind the hash, which no server sees; it is taken out of the address at once.
if (location.hash.startsWith('#token=')) { sessionStorage.setItem('token', decodeURIComponent(location.hash.slice(7))); window.history.replaceState(null, '', location.pathname); }
$('token').value = sessionStorage.getItem('token') || '';
$('token').addEventListener('input', () => sessionStorage.setItem('token', $('token').value.trim()));
const headers = more => ({ ...(sessionStorage.getItem('token') ? { Authorization: 'Bearer ' + sessionStorage.getItem('token') } : {}), ...more });

async function get(path) {
  const response = await fetch(path, { headers: headers(), cache: 'no-store' });
  if (response.status === 403) { notice((await response.json()).message); throw new Error('refused'); }
  return response.ok ? response.json() : null;
}
async function post(path, body) {
  const response = await fetch(path, { method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify(body) });
  return response.json();
}
function notice(text) { $('notice').textContent = text; $('notice').hidden = !text; }

// Pages.
const tabs = ['run', 'pipeline', 'cluster', 'console'];
let page = 'run';
function show(name) {
  page = name;
  for (const tab of tabs) {
    $('tab-' + tab).setAttribute('aria-selected', tab === name);
    $('tab-' + tab).tabIndex = tab === name ? 0 : -1;
    $('page-' + tab).hidden = tab !== name;
  }
  if (name === 'run') { charts.resize(); dirty = true; }
  if (name === 'console') $('line').focus();
  look();
}
for (const [index, tab] of tabs.entries()) {
  $('tab-' + tab).addEventListener('click', () => show(tab));
  $('tab-' + tab).addEventListener('keydown', event => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(index + by + tabs.length) % tabs.length];
    show(next); $('tab-' + next).focus();
  });
}

// Figures.
function span(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}
function phase(text, isLost) { $('phase').textContent = text; $('phase').className = 'phase ' + (isLost ? 'lost' : text); }
function figures() {
  const last = charts.last();
  const step = Math.max(status.step || 0, last ? last[0] : 0);
  $('f-step').textContent = step + (status.end_step ? ' / ' + status.end_step : '');
  $('f-loss').textContent = last ? charts.format(last[1]) : '–';
  $('f-val').textContent = charts.format(status.val_loss ?? null);
  $('f-speed').textContent = status.tokens_per_second ? Math.round(status.tokens_per_second).toLocaleString('en') : '–';
  $('f-bubble').textContent = status.bubble === null || status.bubble === undefined ? '–' : (100 * status.bubble).toFixed(1) + ' %';
  $('f-eta').textContent = span(status.eta_seconds);
  $('progress').style.width = status.end_step ? 100 * step / status.end_step + '%' : '0';
}

// Tables: cells are text, never markup.
function table(id, head, rows) {
  const element = $(id);
  const line = (cells, kind) => { const row = document.createElement('tr'); for (const cell of cells) { const one = document.createElement(kind); if (cell instanceof Node) one.append(cell); else one.textContent = cell ?? '–'; row.append(one); } return row; };
  element.replaceChildren(line(head, 'th'), ...rows.map(row => line(row, 'td')));
}
function meter(busy, wait) {
  const bar = document.createElement('span');
  bar.className = 'meter'; bar.setAttribute('role', 'img'); bar.setAttribute('aria-label', `computes ${Math.round(100 * busy)} %, waits ${Math.round(100 * wait)} %`);
  for (const share of [busy, wait]) { const part = document.createElement('i'); part.style.width = 100 * Math.min(1, share) + '%'; bar.append(part); }
  return bar;
}
function happened(one) {
  const item = document.createElement('li');
  if (/lost|fail|recovering|refused|spike|stall|straggler|non-finite|fell|full/.test(one.kind)) item.className = 'warn';
  for (const [tag, text, name] of [['time', new Date(one.time).toLocaleTimeString()], ['span', 'step ' + one.step, 'step'], ['b', one.kind], ['span', one.text]]) {
    const part = document.createElement(tag); part.textContent = text; if (name) part.className = name; item.append(part);
  }
  $('happenings').prepend(item);
  while ($('happenings').childElementCount > 500) $('happenings').lastElementChild.remove();
}

async function look() {
  try {
    const answer = await get('/api/status');
    if (answer && answer.data) { status = answer.data; $('run').textContent = (status.run || 'run').split('/').pop(); document.title = `${status.step} · ${$('run').textContent}`; phase(status.phase); figures(); }
    if (page === 'pipeline') {
      drawTimeline((await get('/api/timeline'))?.data);
      $('explain').textContent = (await get('/api/explain'))?.message ?? '–';
      const stages = (await get('/api/stages'))?.data ?? [];
      table('stages', ['rank', 'node', 'units', 'step', 'computes', 'waits', ''], stages.map(one => [one.rank, one.node, one.units, one.step, one.busy === null ? '–' : Math.round(100 * one.busy) + ' %', one.wait === null ? '–' : Math.round(100 * one.wait) + ' %', one.busy === null ? '' : meter(one.busy, one.wait)]));
    }
    if (page === 'cluster') {
      table('nodes', ['node', 'pid', 'host', 'roles', 'ranks', 'processor', 'memory'], ((await get('/api/nodes'))?.data ?? []).map(one => [one.name + (one.coordinates ? ' (leads)' : ''), one.pid, one.host, one.roles.join(', '), one.ranks.join(', ') || 'spare', one.cpu_seconds === null ? '–' : span(one.cpu_seconds), one.memory_bytes === null ? '–' : Math.round(one.memory_bytes / 1048576) + ' MiB']));
      const links = (await get('/api/links'))?.data ?? [];
      table('links', ['ranks', 'from', 'to', 'way'], links.map(one => [`${one.from_rank} ↔ ${one.to_rank}`, one.from, one.to, one.same_process ? 'by reference' : 'between processes']));
    }
  } catch { /* The stream says when the run is back. */ }
}

// Courses: the whole run thinned, what comes after it step by step, thinned again when it has grown long.
async function load() {
  const answer = await get('/api/points?most=4000');
  if (!answer) return;
  charts.setPoints(answer.points, answer.evaluations);
  marks = (await get('/api/happenings')) ?? [];
  $('happenings').replaceChildren();
  for (const one of marks) happened(one);
  charts.setMarks(marks);
  charts.refresh(zoomed);
  figures();
}
async function zoom(from, to) { zoomed = true; const answer = await get(`/api/points?after=${Math.max(0, Math.floor(from) - 1)}&through=${Math.ceil(to)}&most=4000`); if (answer && answer.points.length > 1) { charts.setPoints(answer.points, answer.evaluations); charts.refresh(true); } }
$('reset').addEventListener('click', () => { zoomed = false; load(); });
$('smoothing').addEventListener('input', () => charts.setSmoothing(+$('smoothing').value));
$('compare').addEventListener('change', async () => { const name = $('compare').value; charts.setOther(name ? (await get('/api/compare?run=' + encodeURIComponent(name)))?.points ?? null : null); });

function take(name, data) {
  if (name === 'steps') { if (!zoomed && charts.add(data) > most) load(); dirty = true; }
  else if (name === 'evaluation') { charts.addEvaluation(data); status.val_loss = data[1]; dirty = true; }
  else if (name === 'happening') { happened(data); marks.push(data); charts.setMarks(marks); if (/run-|recover/.test(data.kind)) look(); }
}

// The stream is read by hand, since the browser's own reader cannot show a token.
async function follow() {
  for (let wait = 500; ; wait = Math.min(8000, wait * 2)) {
    try {
      const response = await fetch('/api/stream', { headers: headers(), cache: 'no-store' });
      if (response.status === 403) { notice((await response.json()).message); throw new Error('refused'); }
      notice('');
      await load(); await look();
      wait = 500;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ''; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + value).split('\n\n');
        rest = parts.pop();
        for (const part of parts) {
          const name = part.match(/^event: (.+)$/m), data = part.match(/^data: (.+)$/m);
          if (name && data) take(name[1], JSON.parse(data[1]));
        }
      }
    } catch { /* Tried again below. */ }
    phase(status.phase === 'ended' || status.phase === 'ending' ? 'ended' : 'no answer', true);
    await new Promise(resolve => setTimeout(resolve, wait));
  }
}

// Console.
function say(text, name) { const line = document.createElement('div'); line.textContent = text; if (name) line.className = name; $('output').append(line); $('output').scrollTop = $('output').scrollHeight; }
async function command(line) {
  if (asking) {
    const before = asking; asking = null;
    if (!/^y(es)?$/.test(line)) { say('Nothing was done.'); return; }
    line = before + ' --yes';
  }
  try {
    const answer = await post('/api/command', { line, id: crypto.randomUUID ? crypto.randomUUID() : String(Math.random()) });
    say(answer.message, answer.done || answer.asks ? '' : 'refused');
    if (answer.asks) { asking = line; say('go on (y/n)?', 'asked'); }
    look();
  } catch { say('Nobody answers.', 'refused'); }
}
$('form').addEventListener('submit', event => {
  event.preventDefault();
  const line = $('line').value.trim();
  if (!line) return;
  say((asking ? '' : 'pipeline> ') + line, 'asked');
  if (!asking && history[history.length - 1] !== line) { history.push(line); sessionStorage.setItem('history', JSON.stringify(history.slice(-200))); }
  recalled = history.length;
  $('line').value = '';
  command(line);
});
$('line').addEventListener('keydown', async event => {
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (by) { event.preventDefault(); recalled = Math.min(history.length, Math.max(0, recalled + by)); $('line').value = history[recalled] || ''; }
  if (event.key !== 'Tab' || event.shiftKey || !$('line').value) return;
  event.preventDefault();
  const words = await post('/api/complete', { line: $('line').value }).catch(() => []);
  if (!Array.isArray(words) || !words.length) return;
  const start = $('line').value.split(' ').pop();
  let common = words[0];
  for (const word of words) while (!word.startsWith(common)) common = common.slice(0, -1);
  if (common.length > start.length) $('line').value += common.slice(start.length);
  if (words.length === 1) $('line').value += ' '; else if (common.length <= start.length) say(words.join('  '));
});

charts.build(zoom);
addEventListener('resize', () => { charts.resize(); if (page === 'pipeline') drawTimeline(); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { charts.rebuild(); if (page === 'pipeline') drawTimeline(); });
setInterval(() => { if (dirty && page === 'run' && !document.hidden) { dirty = false; if (!zoomed) charts.refresh(false); figures(); } }, 300);
setInterval(() => { if (!document.hidden) look(); }, 2000);
get('/api/runs').then(answer => { for (const run of answer?.data ?? []) if (run.name !== $('run').textContent) { const one = document.createElement('option'); one.value = run.name; one.textContent = `${run.name} (step ${run.step})`; $('compare').append(one); } }).catch(() => {});
get('/api/commands').then(answer => { for (const one of answer?.data ?? []) { const word = document.createElement('option'); word.value = one.name; word.label = one.summary; $('words').append(word); } }).catch(() => {});
follow();
