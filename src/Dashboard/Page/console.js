// The same commands as everywhere else. What could do harm asks first; answers are text, never markup.
import { post, setToken, token } from '/net.js';

const $ = id => document.getElementById(id);
const lines = JSON.parse(sessionStorage.getItem('history') || '[]');
let recalled = lines.length, asking = null, after = () => {};

function say(text, name) {
  const line = document.createElement('div');
  line.textContent = text;
  if (name) line.className = name;
  $('output').append(line);
  $('output').scrollTop = $('output').scrollHeight;
}

function ask(line) {
  asking = line;
  $('ask').hidden = !line;
  if (line) $('no').focus();
}

async function carryOut(line) {
  try {
    const answer = await post('/api/command', { line, id: crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random()}` });
    say(answer.message, answer.done || answer.asks ? '' : 'refused');
    if (answer.asks) { say('go on (y/n)?', 'asked'); ask(line); }
    after();
  } catch { say('Nobody answers.', 'refused'); }
}

function answered(isYes) {
  const line = asking;
  ask(null);
  $('line').focus();
  if (!line) return;
  if (isYes) carryOut(line + ' --yes'); else say('Nothing was done.');
}

function enter(line) {
  if (!line) return;
  if (asking) { say(line, 'asked'); answered(/^y(es)?$/.test(line)); return; }
  say('pipeline> ' + line, 'asked');
  if (lines[lines.length - 1] !== line) { lines.push(line); sessionStorage.setItem('history', JSON.stringify(lines.slice(-200))); }
  recalled = lines.length;
  carryOut(line);
}

async function complete() {
  const words = await post('/api/complete', { line: $('line').value }).catch(() => []);
  if (!Array.isArray(words) || !words.length) return;
  const start = $('line').value.split(' ').pop();
  let common = words[0];
  for (const word of words) while (!word.startsWith(common)) common = common.slice(0, -1);
  if (common.length > start.length) $('line').value += common.slice(start.length);
  if (words.length === 1) $('line').value += ' '; else if (common.length <= start.length) say(words.join('  '));
}

export function start(done) {
  after = done;
  $('token').value = token();
  $('token').addEventListener('input', () => setToken($('token').value));
  $('token').form.addEventListener('submit', event => event.preventDefault());
  $('form').addEventListener('submit', event => { event.preventDefault(); const line = $('line').value.trim(); $('line').value = ''; enter(line); });
  $('yes').addEventListener('click', () => answered(true));
  $('no').addEventListener('click', () => answered(false));
  for (const button of $('quick').children) button.addEventListener('click', () => enter(button.textContent));
  $('line').addEventListener('keydown', event => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (by) { event.preventDefault(); recalled = Math.min(lines.length, Math.max(0, recalled + by)); $('line').value = lines[recalled] || ''; }
    // An empty line leaves Tab to whoever moves through the page by it.
    if (event.key === 'Tab' && !event.shiftKey && $('line').value) { event.preventDefault(); complete(); }
  });
}

export function focus() { $('line').focus(); }
export function words(list) { $('words').replaceChildren(...list.map(one => { const word = document.createElement('option'); word.value = one.name; word.label = one.summary; return word; })); }
