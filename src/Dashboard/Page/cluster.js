// Who is there, what lies between them, and what happened: on the axis of time, and as a list. Cells are text, never markup.
import { css, kindOf, mebibytes, span } from '/format.js';

const lanes = [['fault', 'Faults', '--bad'], ['recovery', 'Recoveries', '--good'], ['warning', 'Warnings', '--warn'], ['command', 'Commands', '--accent'], ['refused', 'Refused', '--r'], ['checkpoint', 'Saved', '--dim']];
const $ = id => document.getElementById(id);

export function table(id, head, rows, empty) {
  const line = (cells, tag) => {
    const row = document.createElement('tr');
    for (const cell of cells) { const one = document.createElement(tag); if (tag === 'th') one.scope = 'col'; if (cell instanceof Node) one.append(cell); else one.textContent = cell ?? '–'; row.append(one); }
    return row;
  };
  const body = rows.map(row => line(row, 'td'));
  if (!rows.length) { const row = line([empty ?? 'nothing yet'], 'td'); row.firstChild.colSpan = head.length; row.firstChild.className = 'nothing'; body.push(row); }
  $(id).replaceChildren(line(head, 'th'), ...body);
}

export function meter(busy, wait) {
  const bar = document.createElement('span');
  bar.className = 'meter'; bar.setAttribute('role', 'img'); bar.setAttribute('aria-label', `computes ${Math.round(100 * busy)} %, waits ${Math.round(100 * wait)} %`);
  for (const share of [busy, wait]) { const part = document.createElement('i'); part.style.width = 100 * Math.min(1, share) + '%'; bar.append(part); }
  return bar;
}

export function nodes(list) {
  table('nodes', ['Node', 'Duty', 'Ranks', 'Host', 'Process', 'Roles', 'Device', 'Processor', 'Memory'], list.map(one => [one.name, one.coordinates ? 'leads' : one.ranks.length ? 'computes' : 'spare', one.ranks.join(', ') || '–', one.host, one.pid, one.roles.join(', '), one.device, span(one.cpu_seconds), mebibytes(one.memory_bytes)]));
}

export function links(list) {
  const rate = one => one.bytes_per_second === null || one.bytes_per_second === undefined ? '–' : (one.bytes_per_second / 1048576).toFixed(2) + ' MiB/s';
  table('links', ['Ranks', 'From', 'To', 'Way', 'For', 'Rate', 'Credit', 'Waits', 'Sent', 'Sent again'], list.map(one => one.same_process
    ? [`${one.from_rank} ↔ ${one.to_rank}`, one.from, one.to, 'by reference', 'frames', '–', '–', '–', '–', '–']
    : [`${one.from_rank} → ${one.to_rank}`, one.from, one.to, one.kind + (one.connected ? '' : ', broken'), one.purpose, rate(one), mebibytes(one.credit_bytes, 1), mebibytes(one.queued_bytes, 1), mebibytes(one.bytes_sent, 1), one.resent]),
  'The run has one rank: nothing is handed on.');
}

// The list.
export function happened(one) {
  const item = document.createElement('li'), kind = kindOf(one.kind);
  item.className = kind === 'fault' ? 'bad' : kind === 'warning' || kind === 'refused' ? 'warn' : '';
  item.dataset.kind = kind;
  item.hidden = !isWanted(kind);
  for (const [tag, text, name] of [['time', new Date(one.time).toLocaleTimeString([], { hour12: false })], ['span', 'step ' + one.step, 'step'], ['b', one.kind], ['span', one.text]]) {
    const part = document.createElement(tag); part.textContent = text; if (name) part.className = name; item.append(part);
  }
  $('happenings').prepend(item);
  while ($('happenings').childElementCount > 500) $('happenings').lastElementChild.remove();
}
function isWanted(kind) {
  const only = $('only').value;
  return !only || (only === 'fault' ? /fault|recovery|warning/ : only === 'command' ? /command|refused/ : /checkpoint/).test(kind);
}
export function filter() { for (const item of $('happenings').children) item.hidden = !isWanted(item.dataset.kind); }

// The axis.
export function axis(marks) {
  const canvas = $('axis'), width = Math.max(240, canvas.parentElement.clientWidth - 36), tall = 26, left = 84, ratio = devicePixelRatio || 1, height = lanes.length * tall + 24;
  canvas.style.height = height + 'px';
  canvas.width = width * ratio; canvas.height = height * ratio;
  const ink = canvas.getContext('2d');
  ink.scale(ratio, ratio);
  ink.font = '12px system-ui, sans-serif'; ink.textBaseline = 'middle';
  const times = marks.map(one => +new Date(one.time)), now = Date.now(), from = Math.min(now - 60000, ...times), x = time => left + (time - from) / (now - from) * (width - left - 12);
  lanes.forEach(([kind, title, color], index) => {
    const y = index * tall + tall / 2;
    ink.fillStyle = css('--dim'); ink.fillText(title, 0, y);
    ink.strokeStyle = css('--line'); ink.beginPath(); ink.moveTo(left, y + 0.5); ink.lineTo(width - 6, y + 0.5); ink.stroke();
    ink.fillStyle = css(color);
    marks.forEach((one, place) => { if (kindOf(one.kind) === kind) { ink.beginPath(); ink.arc(x(times[place]), y, kind === 'checkpoint' ? 3 : 4.5, 0, 7); ink.fill(); } });
  });
  ink.fillStyle = css('--dim');
  for (let part = 0; part <= 2; part++) { ink.textAlign = ['left', 'center', 'right'][part]; ink.fillText(part === 2 ? 'now' : span((now - from) * (1 - part / 2) / 1000) + ' ago', x(from + (now - from) * part / 2), height - 9); }
  ink.textAlign = 'left';
}
