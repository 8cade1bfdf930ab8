const SVG = 'http://www.w3.org/2000/svg';
const MINUTES = 5;
const WINDOW = MINUTES * 60_000;
const HEIGHT = 20;
const WIDTH = 150;

/** Draws how many held and waited over the last minutes: [milliseconds ago, holders, waiters] each. */
export function drawLine(cell, points) {
  const svg = cell.firstElementChild ?? cell.appendChild(makeSvg());
  const [held, waiting] = svg.querySelectorAll('path');
  const most = Math.max(1, ...points.map(([, holders, waiters]) => Math.max(holders, waiters)));
  const x = (ago) => round(WIDTH * (1 - Math.min(ago, WINDOW) / WINDOW));
  const y = (number) => round(HEIGHT - 1 - ((HEIGHT - 3) * number) / most);
  held.setAttribute(
    'd',
    `${steps(points, x, (point) => y(point[1]))}V${HEIGHT}H${x(points[0]?.[0] ?? 0)}Z`,
  );
  waiting.setAttribute(
    'd',
    steps(points, x, (point) => y(point[2])),
  );
  const mostWaiting = Math.max(0, ...points.map(([, , waiters]) => waiters));
  svg.setAttribute('aria-label', `in the last ${MINUTES} minutes at most ${mostWaiting} waited`);
}

/** Each point holds until the next one, and the last one until now. */
function steps(points, x, y) {
  if (points.length === 0) return `M${WIDTH} ${HEIGHT}`;
  const [first, ...others] = points;
  const path = others.map((point) => `H${x(point[0])}V${y(point)}`);
  return `M${x(first[0])} ${y(first)}${path.join('')}H${WIDTH}`;
}

function makeSvg() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', 'line');
  svg.setAttribute('role', 'img');
  for (const name of ['held', 'waiting']) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('class', name);
    svg.append(path);
  }
  return svg;
}

function round(number) {
  return Math.round(number * 10) / 10;
}
