// The courses of a run as charts that share one axis of steps. Data: arrays by column, as the server sends points.
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
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

function format(value) {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : size >= 100 ? value.toFixed(0) : value.toPrecision(4);
}

// Several courses on one axis: the union of their steps, null where one has none.
function join(...courses) {
  const steps = [...new Set(courses.flatMap(course => course.map(point => point[0])))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, index) => [step, index]));
  return [steps, ...courses.map(course => {
    const values = new Array(steps.length).fill(course.gap);
    for (const [step, value] of course) values[place.get(step)] = value;
    return values;
  })];
}

function dataOf(name) {
  const column = columns[name];
  const raw = points.map(point => point[column]);
  const mean = smooth(raw, name === 'lr' ? 0 : smoothing);
  const course = values => points.map((point, index) => [point[0], values[index]]);
  const rival = other ? (() => { const line = smooth(other.map(point => point[column]), smoothing); return other.map((point, index) => [point[0], line[index]]); })() : [];
  const courses = [course(raw), course(mean), name === 'loss' ? evaluations : [], rival];
  // Undefined joins what lies on both sides; null is a gap.
  for (const one of courses) one.gap = undefined;
  return join(...courses);
}

function draw(name, host, height) {
  const axis = { stroke: css('--dim'), grid: { stroke: css('--line'), width: 1 }, ticks: { stroke: css('--line'), width: 1 }, font: '12px system-ui, sans-serif' };
  const options = {
    width: host.clientWidth - 12, height, cursor: { sync: { key: 'run' }, drag: { x: true, y: false } }, legend: { live: true },
    scales: { x: { time: false } }, axes: [{ ...axis }, { ...axis, size: 64, values: (_, ticks) => ticks.map(format) }],
    series: [
      { label: 'step' },
      { label: 'each step', stroke: css('--accent') + '55', width: 1, points: { show: false }, value: (_, value) => format(value) },
      { label: 'smoothed', stroke: css('--accent'), width: 2, points: { show: false }, value: (_, value) => format(value) },
      { label: 'validation', stroke: css('--b'), width: 2, show: name === 'loss', points: { show: true, size: 6 }, value: (_, value) => format(value) },
      { label: 'other run', stroke: css('--r'), width: 1.5, dash: [5, 4], show: other !== null, points: { show: false }, value: (_, value) => format(value) },
    ],
    hooks: {
      setScale: [(chart, key) => { if (key === 'x' && chart.userZoom) { chart.userZoom = false; onZoom(chart.scales.x.min, chart.scales.x.max); } }],
      setSelect: [chart => { chart.userZoom = chart.select.width > 0; }],
      draw: [chart => { if (name === 'loss') mark(chart); }],
    },
  };
  return new uPlot(options, dataOf(name), host);
}

// What happened, as thin lines on the axis of steps.
function mark(chart) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const { step, kind } of marks) {
    if (step < chart.scales.x.min || step > chart.scales.x.max) continue;
    const x = chart.valToPos(step, 'x', true);
    ctx.strokeStyle = kind === 'checkpoint-saved' ? css('--line') : /recover|lost|fail|spike|stall|non-finite/.test(kind) ? css('--bad') : css('--warn');
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + (kind === 'checkpoint-saved' ? 8 * devicePixelRatio : bbox.height)); ctx.stroke();
  }
  ctx.restore();
}

export function build(zoomed) {
  onZoom = zoomed;
  const root = document.getElementById('charts');
  root.replaceChildren();
  for (const name of Object.keys(columns)) {
    const card = document.createElement('div');
    card.className = name === 'loss' ? 'chart wide' : 'chart';
    const title = document.createElement('h2');
    title.textContent = titles[name];
    const host = document.createElement('div');
    card.append(title, host);
    root.append(card);
    charts[name] = { host, height: name === 'loss' ? 300 : 190, chart: null };
    charts[name].chart = draw(name, host, charts[name].height);
  }
}

export function rebuild() { for (const [name, one] of Object.entries(charts)) { one.chart.destroy(); one.chart = draw(name, one.host, one.height); } }
export function resize() { for (const one of Object.values(charts)) if (one.host.clientWidth > 12) one.chart.setSize({ width: one.host.clientWidth - 12, height: one.height }); }
export function refresh(keepZoom) { for (const [name, one] of Object.entries(charts)) one.chart.setData(dataOf(name), !keepZoom); }
export function setPoints(all, held) { points = all; evaluations = held; }
export function add(more) { const last = points.length ? points[points.length - 1][0] : 0; points.push(...more.filter(point => point[0] > last)); return points.length; }
export function addEvaluation(one) { evaluations.push(one); }
export function setOther(all) { other = all; rebuild(); }
export function setMarks(all) { marks = all; }
export function setSmoothing(value) { smoothing = value; refresh(true); }
export function lastStep() { return points.length ? points[points.length - 1][0] : 0; }
export function last() { return points.length ? points[points.length - 1] : null; }
export { format };
