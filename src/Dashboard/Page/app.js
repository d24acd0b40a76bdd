// The page as a whole: which part of it is shown, its figures, and what the run's stream brings.
import * as charts from '/charts.js';
import * as cluster from '/cluster.js';
import * as commands from '/console.js';
import * as pipeline from '/pipeline.js';
import { format, percent, span } from '/format.js';
import { follow, get, notice } from '/net.js';

const $ = id => document.getElementById(id);
const most = 8000, tabs = ['run', 'pipeline', 'cluster', 'console'];
let page = 'run', zoomed = false, dirty = false, marks = [], status = {};

// Pages.
function show(name) {
  page = name;
  for (const tab of tabs) {
    $('tab-' + tab).setAttribute('aria-selected', tab === name);
    $('tab-' + tab).tabIndex = tab === name ? 0 : -1;
    $('page-' + tab).hidden = tab !== name;
  }
  if (name === 'run') { charts.resize(); charts.refresh(zoomed); }
  if (name === 'console') commands.focus();
  look();
}
for (const [index, tab] of tabs.entries()) {
  $('tab-' + tab).addEventListener('click', () => show(tab));
  $('tab-' + tab).addEventListener('keydown', event => {
    const next = { ArrowRight: tabs[(index + 1) % tabs.length], ArrowLeft: tabs[(index + tabs.length - 1) % tabs.length], Home: tabs[0], End: tabs[tabs.length - 1] }[event.key];
    if (!next) return;
    event.preventDefault();
    show(next); $('tab-' + next).focus();
  });
}

// Figures.
function phase(text, isLost) {
  if ($('phase').textContent !== text) $('phase').textContent = text;
  $('phase').className = 'phase ' + (isLost ? 'lost' : text);
}
function figures() {
  const last = charts.last(), step = Math.max(status.step || 0, last ? last[0] : 0), share = status.end_step ? Math.min(1, step / status.end_step) : 0, change = charts.lossBefore(50);
  const text = { 'f-step': step.toLocaleString('en'), 's-step': status.end_step ? `of ${status.end_step.toLocaleString('en')}, ${percent(share)}` : '',
    'f-loss': last ? last[1] === null ? 'passed over' : format(last[1]) : '–', 's-loss': change === null ? '' : `${change < 0 ? '−' : '+'}${format(Math.abs(change))} over 50 steps`,
    'f-val': format(status.val_loss ?? null), 's-val': status.lr ? 'learning rate ' + format(status.lr) : '',
    'f-speed': status.tokens_per_second ? Math.round(status.tokens_per_second).toLocaleString('en') : '–', 's-speed': status.step_seconds ? `${(1e3 * status.step_seconds).toFixed(1)} ms a step` : '',
    'f-bubble': percent(status.bubble), 's-bubble': 'of the ranks’ time' + (typeof status.exposed === 'number' ? `; ${percent(status.exposed)} for replicas` : ''), 'f-eta': span(status.eta_seconds), 's-eta': status.eta_seconds ? 'until ' + new Date(Date.now() + 1e3 * status.eta_seconds).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false }) : '' };
  for (const [id, value] of Object.entries(text)) if ($(id).textContent !== value) $(id).textContent = value;
  $('progress').style.width = 100 * share + '%';
  $('progressbar').setAttribute('aria-valuenow', Math.round(100 * share));
}

// What is wrong, as text; nothing where all is well, so that whoever hears the page hears it when it comes.
function health(sentences) {
  const text = sentences.join('\n');
  if ($('health').dataset.text === text) return;
  $('health').dataset.text = text;
  $('health').replaceChildren(...sentences.map(sentence => { const item = document.createElement('li'); item.textContent = sentence; return item; }));
  $('health').hidden = !sentences.length;
}

async function look() {
  try {
    const answer = await get('/api/status');
    if (answer && answer.data) { status = answer.data; $('run').textContent = (status.run || 'run').split('/').pop(); document.title = `${status.step} · ${$('run').textContent}`; phase(status.phase); figures(); health(status.health || []); others(status.nodes || []); }
    if (page === 'pipeline') await lookAtPipeline();
    if (page === 'cluster') { cluster.nodes((await get('/api/nodes'))?.data ?? []); cluster.axis(marks); cluster.links((await get('/api/links'))?.data ?? []); }
  } catch { /* The stream says when the run is back. */ }
}
async function lookAtPipeline() {
  pipeline.draw((await get('/api/timeline'))?.data);
  $('explain').textContent = (await get('/api/explain'))?.message ?? '–';
  const stages = (await get('/api/stages'))?.data ?? [], peaks = pipeline.peaks(), share = value => value === null ? '–' : Math.round(100 * value) + ' %';
  cluster.table('stages', ['Rank', 'Node', 'Units', 'Step', 'In flight, at most', 'Computes', 'Waits', ''], stages.map(one => [one.rank, one.node, one.units, one.step, peaks.find(peak => peak.rank === one.rank)?.peak ?? '–', share(one.busy), share(one.wait), one.busy === null ? '' : cluster.meter(one.busy, one.wait)]));
}

// Courses: the whole run thinned, what comes after it step by step, thinned again when it has grown long.
async function load() {
  const answer = await get('/api/points?most=4000');
  if (!answer) return;
  charts.setPoints(answer.points, answer.evaluations);
  marks = (await get('/api/happenings')) ?? [];
  $('happenings').replaceChildren();
  for (const one of marks) cluster.happened(one);
  charts.setMarks(marks);
  charts.refresh(zoomed);
  figures();
}
async function zoom(from, to) {
  zoomed = true;
  const answer = await get(`/api/points?after=${Math.max(0, Math.floor(from) - 1)}&through=${Math.ceil(to)}&most=4000`);
  if (answer && answer.points.length > 1) { charts.setPoints(answer.points, answer.evaluations); charts.refresh(true); }
}
$('reset').addEventListener('click', () => { zoomed = false; load(); });
$('smoothing').addEventListener('input', () => charts.setSmoothing(+$('smoothing').value));
$('compare').addEventListener('change', async () => { const name = $('compare').value; charts.setOther(name ? (await get('/api/compare?run=' + encodeURIComponent(name)))?.points ?? null : null); });
$('only').addEventListener('change', cluster.filter);

function take(name, data) {
  if (name === 'steps') { if (!zoomed && charts.add(data) > most) load(); dirty = true; }
  else if (name === 'evaluation') { charts.addEvaluation(data); status.val_loss = data[1]; dirty = true; }
  else if (name === 'happening') { cluster.happened(data); marks = [...marks.slice(-2000), data]; charts.setMarks(marks); if (page === 'cluster') cluster.axis(marks); if (/run-|recover|rolled|moved/.test(data.kind)) look(); }
}

// Who may lead the run next on other machines: for people to follow, since the page itself asks nobody but its own server.
let elsewhere = [], lostAt = 0;
function others(nodes) {
  if (/^(localhost|127\.|\[::1\])/.test(location.hostname)) return;
  const hosts = nodes.filter(node => node.roles.includes('coordinator')).map(node => node.address.replace(/^.*@/, '').replace(/:\d+$/, ''));
  elsewhere = [...new Set(hosts)].filter(host => host && host !== location.hostname).map(host => `${location.protocol}//${host}:${location.port}/`);
}
function lost() {
  phase(status.phase === 'ended' || status.phase === 'ending' ? 'ended' : 'no answer', true);
  lostAt ||= Date.now();
  if (elsewhere.length && Date.now() - lostAt > 10000) notice('Nobody answers here. The run may be led from another machine now:', elsewhere);
}

async function names() {
  const runs = (await get('/api/runs'))?.data ?? [];
  const chosen = $('compare').value;
  $('compare').replaceChildren($('compare').firstElementChild, ...runs.filter(run => run.name !== $('run').textContent).map(run => { const one = document.createElement('option'); one.value = run.name; one.textContent = `${run.name} (step ${run.step})`; return one; }));
  $('compare').value = chosen;
  if ($('compare').value !== chosen) { $('compare').value = ''; charts.setOther(null); }
  commands.words((await get('/api/commands'))?.data ?? []);
}

charts.build(zoom);
pipeline.listen();
commands.start(look);
addEventListener('resize', () => { charts.resize(); if (page === 'pipeline') pipeline.draw(); if (page === 'cluster') cluster.axis(marks); });
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { charts.rebuild(); if (page === 'pipeline') pipeline.draw(); if (page === 'cluster') cluster.axis(marks); });
setInterval(() => { if (dirty && page === 'run' && !document.hidden) { dirty = false; if (!zoomed) charts.refresh(false); figures(); } }, 300);
setInterval(() => { if (!document.hidden) look(); }, 2000);
follow({
  opened: async () => { lostAt = 0; await load(); await look(); names().catch(() => {}); },
  event: take,
  lost,
});
