// What the page asks of the run's server, and how it follows it. The token lives in this tab alone.
const kept = () => sessionStorage.getItem('token') || '';
const headers = more => ({ ...(kept() ? { Authorization: 'Bearer ' + kept() } : {}), ...more });

// A token may come in the address, behind the hash, which no server sees; it is taken out of the address at once.
if (location.hash.startsWith('#token=')) {
  const given = location.hash.slice(7);
  history.replaceState(null, '', location.pathname);
  try { sessionStorage.setItem('token', decodeURIComponent(given)); } catch { /* A damaged one is none. */ }
}

export const token = kept;
export function setToken(text) { sessionStorage.setItem('token', text.trim()); }

export function notice(text, links = []) {
  const host = document.getElementById('notice');
  host.textContent = text;
  for (const address of links) {
    const link = document.createElement('a');
    link.href = address; link.textContent = address;
    host.append(' ', link);
  }
  host.hidden = !text;
}

export async function get(path) {
  const response = await fetch(path, { headers: headers(), cache: 'no-store' });
  if (response.status === 403) { notice((await response.json()).message); throw new Error('refused'); }
  return response.ok ? response.json() : null;
}

export async function post(path, body) {
  const response = await fetch(path, { method: 'POST', headers: headers({ 'Content-Type': 'application/json' }), body: JSON.stringify(body) });
  return response.json();
}

// The stream is read by hand, since the browser's own reader cannot show a token. It is opened again for as long as the page is: whoever
// leads the run next takes the port of the leader before.
export async function follow({ opened, event, lost }) {
  for (let wait = 300; ; wait = Math.min(4000, wait * 2)) {
    try {
      const response = await fetch('/api/stream', { headers: headers(), cache: 'no-store' });
      if (response.status === 403) { notice((await response.json()).message); throw new Error('refused'); }
      await opened();
      notice('');
      wait = 300;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ''; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        const parts = (rest + value).split('\n\n');
        rest = parts.pop();
        for (const part of parts) {
          const name = part.match(/^event: (.+)$/m), data = part.match(/^data: (.+)$/m);
          if (name && data) event(name[1], JSON.parse(data[1]));
        }
      }
    } catch { /* Tried again below. */ }
    lost();
    await new Promise(resolve => setTimeout(resolve, wait));
  }
}
