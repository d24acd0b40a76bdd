// The time line of one step: for each rank what it did, below it what the schedule alone makes of the same actions, and how many micro-batches
// it held in flight.
import { css, percent } from '/format.js';

const lane = 30, thin = 14, flight = 12, gap = 12, left = 66;
const kinds = { F: '--f', B: '--b', I: '--b', W: '--w', R: '--r' };
const letterOf = action => (action.match(/[A-Z]/) || ['o'])[0];
const colorOf = action => css(kinds[letterOf(action)] || '--o');
const $ = id => document.getElementById(id);
let shown = null, boxes = [];

// Forwards begun less backwards ended, over time.
export function inFlight(spans) {
  const turns = [];
  for (const { action, start, end } of spans) {
    const kind = letterOf(action);
    if (!/\d$/.test(action)) continue;
    if (kind === 'F') turns.push([start, 1]);
    if (kind === 'B' || kind === 'I') turns.push([end, -1]);
  }
  let count = 0;
  return turns.sort((a, b) => a[0] - b[0]).map(([at, by]) => [at, count += by]);
}
const most = spans => Math.max(0, ...inFlight(spans).map(turn => turn[1]));

export function peaks() { return shown?.ranks ? shown.ranks.map(rank => ({ rank: rank.rank, peak: most(rank.spans) })) : []; }

export function draw(data) {
  shown = data ?? shown;
  const canvas = $('timeline');
  boxes = [];
  if (!shown || !shown.ranks) { $('t-empty').textContent = 'No actions were recorded since this process leads the run. The command `trace start` has them recorded.'; canvas.style.height = '0'; return; }
  const { simulated } = shown, perReplica = simulated ? simulated.ranks.length : 1;
  $('t-empty').textContent = '';
  $('t-step').textContent = shown.step.toLocaleString('en');
  const measured = shown.seconds;
  $('t-times').textContent = `Measured ${(1e3 * measured).toFixed(1)} ms` + (simulated ? `; the schedule alone ${(1e3 * simulated.seconds).toFixed(1)} ms, idle ${percent(simulated.bubble)}. The rest, ${percent(Math.max(0, 1 - simulated.seconds / measured))}, is links, machines and chance.` : '.');
  const each = lane + (simulated ? thin + 2 : 0) + flight + gap, width = Math.max(240, canvas.parentElement.clientWidth), height = shown.ranks.length * each + 20, ratio = devicePixelRatio || 1;
  canvas.style.height = height + 'px';
  canvas.width = width * ratio; canvas.height = height * ratio;
  const ink = canvas.getContext('2d');
  ink.scale(ratio, ratio);
  ink.textBaseline = 'middle';
  const end = Math.max(measured, simulated?.seconds ?? 0, 1e-9), x = seconds => left + seconds / end * (width - left - 6);
  const row = (spans, y, tall, where) => {
    ink.fillStyle = css('--bg'); ink.fillRect(left, y, width - left - 6, tall);
    ink.font = tall > 20 ? '12px system-ui, sans-serif' : '10px system-ui, sans-serif';
    for (const span of spans) {
      const from = x(span.start), wide = Math.max(1, x(span.end) - from - 0.75);
      ink.fillStyle = colorOf(span.action); ink.fillRect(from, y, wide, tall);
      if (wide > 24) { ink.fillStyle = css('--on'); ink.fillText(span.action, from + 4, y + tall / 2 + 0.5); }
      boxes.push({ x: from, y, wide, tall, text: `${where}: ${span.action}, ${(1e3 * (span.end - span.start)).toFixed(2)} ms from ${(1e3 * span.start).toFixed(2)} ms` });
    }
  };
  shown.ranks.forEach((rank, index) => {
    const y = index * each;
    ink.font = '12px system-ui, sans-serif'; ink.fillStyle = css('--ink'); ink.fillText('rank ' + rank.rank, 0, y + lane / 2);
    row(rank.spans, y, lane, 'rank ' + rank.rank);
    let below = y + lane + 2;
    if (simulated) {
      ink.font = '11px system-ui, sans-serif'; ink.fillStyle = css('--dim'); ink.fillText('simulated', 0, below + thin / 2);
      row(simulated.ranks[rank.rank % perReplica].spans, below, thin, 'simulated');
      below += thin + 2;
    }
    ink.font = '11px system-ui, sans-serif'; ink.fillStyle = css('--dim'); ink.fillText(`in flight ${most(rank.spans)}`, 0, below + flight / 2);
    drawFlight(ink, inFlight(rank.spans), x, below, Math.max(1, ...shown.ranks.map(one => most(one.spans))), measured);
  });
  ink.fillStyle = css('--dim'); ink.font = '12px system-ui, sans-serif';
  for (let part = 0; part <= 4; part++) { ink.textAlign = part === 4 ? 'right' : part ? 'center' : 'left'; ink.fillText((1e3 * end * part / 4).toFixed(1) + ' ms', x(end * part / 4), height - 8); }
  ink.textAlign = 'left';
  canvas.setAttribute('aria-label', `Time line of step ${shown.step} over ${shown.ranks.length} ranks. ${$('t-times').textContent} ${peaks().map(one => `Rank ${one.rank} holds at most ${one.peak} micro-batches in flight.`).join(' ')}`);
}

function drawFlight(ink, turns, x, y, highest, end) {
  ink.strokeStyle = css('--fly'); ink.lineWidth = 1.5;
  ink.beginPath(); ink.moveTo(x(0), y + flight);
  let level = y + flight;
  for (const [at, count] of turns) { ink.lineTo(x(at), level); level = y + flight - count / highest * (flight - 1); ink.lineTo(x(at), level); }
  ink.lineTo(x(end), level); ink.stroke();
}

export function listen() {
  const canvas = $('timeline'), tip = $('t-tip');
  canvas.addEventListener('mousemove', event => {
    const box = boxes.find(one => event.offsetX >= one.x && event.offsetX <= one.x + one.wide && event.offsetY >= one.y && event.offsetY <= one.y + one.tall);
    tip.hidden = !box;
    if (!box) return;
    tip.textContent = box.text;
    tip.style.left = Math.min(event.offsetX + 12, canvas.clientWidth - tip.offsetWidth - 4) + 'px';
    tip.style.top = box.y + box.tall + 4 + 'px';
  });
  canvas.addEventListener('mouseleave', () => { tip.hidden = true; });
}
