// The courses of a run as charts that share one axis of steps. Data: arrays by column, as the server sends points.
import { css, format } from '/format.js';

const columns = { loss: 1, norm: 2, lr: 3, speed: 4, bubble: 5 };
const titles = { loss: 'Loss, nats per token', norm: 'Gradient norm', lr: 'Learning rate', speed: 'Tokens per second', bubble: 'Bubble, share of the ranks’ time' };
const charts = {};
let points = [], evaluations = [], other = null, marks = [], smoothing = 0.6, onZoom = () => {};

// An exponential mean that is right from the first value on.
function smooth(values, factor) {
  let mean = 0, weight = 0;
  return values.map(value => {
    if (value === null) return null;
    mean = factor * mean + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return mean / weight;
  });
}

// The steps of all courses, and where each lies; sorted already where there is but one.
function axisOfSteps() {
  const own = points.map(point => point[0]), last = own.length ? own[own.length - 1] : 0;
  const more = [...evaluations, ...(other ?? [])].map(point => point[0]);
  const known = new Set(own);
  const added = more.filter(step => !known.has(step));
  const steps = added.length ? [...new Set([...own, ...added])].sort((a, b) => a - b) : own;
  return { steps, place: new Map(steps.map((step, index) => [step, index])), last };
}

// Undefined joins what lies on both sides; null is a gap, as where a step was passed over.
function spread(axis, course, values) {
  const line = new Array(axis.steps.length).fill(undefined);
  course.forEach((point, index) => { line[axis.place.get(point[0])] = values[index]; });
  return line;
}

function dataOf(name, axis) {
  const column = columns[name], raw = points.map(point => point[column]);
  const rival = other ? smooth(other.map(point => point[column]), smoothing) : [];
  return [axis.steps, spread(axis, points, raw), spread(axis, points, smooth(raw, name === 'lr' ? 0 : smoothing)),
    spread(axis, name === 'loss' ? evaluations : [], evaluations.map(one => one[1])), spread(axis, other ?? [], rival)];
}

function draw(name, host, height) {
  const axis = { stroke: css('--dim'), grid: { stroke: css('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
  const line = (label, more) => ({ label, points: { show: false }, value: (_, value) => format(value), ...more });
  const options = {
    width: Math.max(80, host.clientWidth - 12), height, cursor: { sync: { key: 'run' }, drag: { x: true, y: false }, points: { size: 7 } }, legend: { live: true },
    scales: { x: { time: false } }, axes: [{ ...axis, values: (_, ticks) => ticks.map(tick => Number.isInteger(tick) ? tick.toLocaleString('en') : '') }, { ...axis, size: 66, values: (_, ticks) => ticks.map(format) }],
    series: [
      { label: 'step', value: (_, value) => value === null || value === undefined ? '–' : value.toLocaleString('en') },
      line('each step', { stroke: css('--accent') + '59', width: 1 }),
      line('smoothed', { stroke: css('--accent'), width: 2 }),
      line('validation', { stroke: css('--b'), width: 2, show: name === 'loss', points: { show: true, size: 7, fill: css('--card') } }),
      line('other run', { stroke: css('--r'), width: 1.5, dash: [5, 4], show: other !== null }),
    ],
    hooks: {
      setScale: [(chart, key) => { if (key === 'x' && chart.userZoom) { chart.userZoom = false; onZoom(chart.scales.x.min, chart.scales.x.max); } }],
      setSelect: [chart => { chart.userZoom = chart.select.width > 0; }],
      draw: [chart => { if (name === 'loss') mark(chart); }],
    },
  };
  return new uPlot(options, dataOf(name, axisOfSteps()), host);
}

// What happened, as thin lines on the axis of steps.
function mark(chart) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const { step, kind } of marks) {
    if (step < chart.scales.x.min || step > chart.scales.x.max || kind === 'evaluated') continue;
    const x = chart.valToPos(step, 'x', true), isSaved = kind === 'checkpoint-saved';
    ctx.strokeStyle = isSaved ? css('--dim') : /recover|rolled|lost|fail|spike|stall|non-finite/.test(kind) ? css('--bad') : css('--warn');
    ctx.globalAlpha = isSaved ? 0.7 : 0.55;
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + (isSaved ? 7 * devicePixelRatio : bbox.height)); ctx.stroke();
  }
  ctx.restore();
}

export function build(zoomed) {
  onZoom = zoomed;
  const root = document.getElementById('charts');
  root.replaceChildren();
  for (const name of Object.keys(columns)) {
    const card = document.createElement('section');
    card.className = name === 'loss' ? 'chart wide' : 'chart';
    const title = document.createElement('h2'), newest = document.createElement('output'), host = document.createElement('div');
    title.append(titles[name], newest);
    newest.setAttribute('aria-label', 'newest');
    host.setAttribute('role', 'img'); host.setAttribute('aria-label', titles[name] + ' over steps; `metrics` in the console says the numbers');
    card.append(title, host);
    root.append(card);
    charts[name] = { host, newest, height: name === 'loss' ? 320 : 200, chart: null };
  }
  for (const [name, one] of Object.entries(charts)) one.chart = draw(name, one.host, one.height);
}

export function rebuild() { for (const [name, one] of Object.entries(charts)) { one.chart.destroy(); one.chart = draw(name, one.host, one.height); } }
export function resize() { for (const one of Object.values(charts)) if (one.host.clientWidth > 12) one.chart.setSize({ width: one.host.clientWidth - 12, height: one.height }); }
export function refresh(keepZoom) {
  const axis = axisOfSteps(), newest = last();
  for (const [name, one] of Object.entries(charts)) {
    one.chart.setData(dataOf(name, axis), !keepZoom);
    if (keepZoom) one.chart.redraw();
    one.newest.textContent = newest ? format(newest[columns[name]]) : '';
  }
}
export function setPoints(all, held) { points = all; evaluations = held; }
export function add(more) { const end = last()?.[0] ?? 0; points.push(...more.filter(point => point[0] > end)); return points.length; }
export function addEvaluation(one) { evaluations.push(one); }
export function setOther(all) { other = all; rebuild(); }
export function setMarks(all) { marks = all; }
export function setSmoothing(value) { smoothing = value; refresh(true); }
export function last() { return points.length ? points[points.length - 1] : null; }
export function lossBefore(count) { const before = points.slice(-2 * count, -count).map(point => point[1]).filter(value => value !== null), now = points.slice(-count).map(point => point[1]).filter(value => value !== null);
  const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;
  return before.length && now.length ? mean(now) - mean(before) : null; }
