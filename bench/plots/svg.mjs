// As much of SVG as the plots need. They stand on light and on dark pages alike: nothing is drawn
// behind them, and their colours follow the reader's scheme where the page tells it.

const style = `
  text { font: 12px system-ui, sans-serif; fill: #57606a }
  .title { font-size: 14px; font-weight: 600 }
  .small { font-size: 11px }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .grid { stroke: #8c959f; stroke-opacity: .3 }
  .mark { stroke: #8c959f; stroke-dasharray: 4 3 }
  .bar, .dot { fill: #8c959f }
  .line { stroke: #8c959f; fill: none; stroke-width: 1.5 }
  .ours { fill: #1a7f37; font-weight: 600 }
  .range { stroke: #57606a }
  .line.ours { stroke: #1a7f37; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .ours { fill: #3fb950 }
    .line.ours { stroke: #3fb950 }
    .range { stroke: #d1d7e0 }
  }`;

/** A whole picture. */
export function picture(width, height, title, content) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>${style}
</style>
${content.flat(Infinity).join('\n')}
</svg>
`;
}

export function text(x, y, words, classes = '') {
  return `<text x="${short(x)}" y="${short(y)}"${classOf(classes)}>${escaped(words)}</text>`;
}

export function line(x1, y1, x2, y2, classes) {
  return `<line x1="${short(x1)}" y1="${short(y1)}" x2="${short(x2)}" y2="${short(y2)}"${classOf(classes)}/>`;
}

export function bar(x, y, width, height, classes) {
  return `<rect x="${short(x)}" y="${short(y)}" width="${short(width)}" height="${short(height)}" rx="2"${classOf(classes)}/>`;
}

export function polyline(points, classes) {
  const path = points.map(([x, y]) => `${short(x)},${short(y)}`).join(' ');
  return `<polyline points="${path}"${classOf(classes)}/>`;
}

export function dot(x, y, classes) {
  return `<circle cx="${short(x)}" cy="${short(y)}" r="3"${classOf(classes)}/>`;
}

/** From values to pixels, by their logarithms. */
export function logScale([from, to], [start, end]) {
  const share = (value) => Math.log(value / from) / Math.log(to / from);
  return (value) => start + Math.min(1, Math.max(0, share(value))) * (end - start);
}

/** The powers of ten around the values. */
export function decades(values) {
  const from = Math.floor(Math.log10(Math.min(...values)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: to - from + 1 }, (_, i) => 10 ** (from + i));
}

function classOf(classes) {
  return classes ? ` class="${classes}"` : '';
}

function short(number) {
  return Math.round(number * 10) / 10;
}

function escaped(words) {
  return String(words).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');
}
