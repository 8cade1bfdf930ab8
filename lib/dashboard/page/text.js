/** Others chose these names: what cannot be seen, or turns the direction of a text, is written out. */
export function plain(name) {
  return name.replace(/\p{C}/gu, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** As "4.2 s", "3 min 20 s" or "2 h 5 min". */
export function duration(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(s % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export function count(number, thing) {
  return `${number} ${thing}${number === 1 ? '' : 's'}`;
}

export function process({ host, pid, isSelf }) {
  if (host === undefined) return 'unknown';
  return `${plain(host)}/${pid ?? '?'}${isSelf ? ' (this process)' : ''}`;
}
