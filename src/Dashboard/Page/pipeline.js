// The time line of one step: a lane a rank, a box an action.
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colorOf = action => { const letter = (action.match(/[A-Z]/) || ['o'])[0]; return css({ F: '--f', B: '--b', I: '--b', W: '--w', R: '--r' }[letter] || '--o'); };
let shown = null;

export function draw(data) {
  shown = data ?? shown;
  const canvas = document.getElementById('timeline');
  const empty = document.getElementById('t-empty');
  if (!shown || !shown.ranks) { empty.textContent = 'No actions were recorded since this process leads the run.'; canvas.style.height = '0'; return; }
  empty.textContent = '';
  document.getElementById('t-step').textContent = shown.step;
  const width = canvas.parentElement.clientWidth - 32, lane = 34, height = shown.ranks.length * lane + 22, left = 56;
  const ratio = devicePixelRatio || 1;
  canvas.style.height = height + 'px';
  canvas.width = width * ratio; canvas.height = height * ratio;
  const ink = canvas.getContext('2d');
  ink.scale(ratio, ratio);
  ink.font = '12px system-ui, sans-serif';
  ink.textBaseline = 'middle';
  const end = Math.max(...shown.ranks.flatMap(rank => rank.spans.map(span => span.end)), 1e-9);
  const x = seconds => left + seconds / end * (width - left - 4);
  shown.ranks.forEach((rank, index) => {
    const y = index * lane;
    ink.fillStyle = css('--dim'); ink.fillText('rank ' + rank.rank, 0, y + lane / 2);
    ink.fillStyle = css('--bg'); ink.fillRect(left, y + 4, width - left - 4, lane - 8);
    for (const span of rank.spans) {
      const from = x(span.start), wide = Math.max(1, x(span.end) - from - 0.5);
      ink.fillStyle = colorOf(span.action); ink.fillRect(from, y + 4, wide, lane - 8);
      if (wide > 26) { ink.fillStyle = '#fff'; ink.fillText(span.action, from + 4, y + lane / 2); }
    }
  });
  ink.fillStyle = css('--dim');
  for (let part = 0; part <= 4; part++) { ink.textAlign = part === 4 ? 'right' : part ? 'center' : 'left'; ink.fillText((end * part / 4).toFixed(3) + ' s', x(end * part / 4), height - 9); }
  ink.textAlign = 'left';
}
