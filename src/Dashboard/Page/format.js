// Numbers and colours as the whole page shows them.
export const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function format(value) {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : size >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(4);
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export const percent = share => share === null || share === undefined ? '–' : (100 * share).toFixed(1) + ' %';
export const mebibytes = (bytes, digits = 0) => bytes === null || bytes === undefined ? '–' : (bytes / 1048576).toFixed(digits) + ' MiB';

// What kind of thing happened: how it is coloured, and which lane it has on the axis of time.
export function kindOf(event) {
  if (/refused/.test(event)) return 'refused';
  if (/^(command|setting|run-paused|run-resumed|stop-)/.test(event)) return 'command';
  if (/^(checkpoint-saved|evaluated)/.test(event)) return 'checkpoint';
  if (/^(recovered|node-joined|placed|units-moved|replicas|leader)/.test(event)) return 'recovery';
  return /lost|fail|recovering|rolled|stage/.test(event) ? 'fault' : 'warning';
}
