// How the cost grows: a panel per series, a line per store, both scales by powers of ten.
import { shown } from '../harness/table.mjs';
import { decades, dot, line, logScale, picture, polyline, text } from './svg.mjs';

const panelWidth = 440;
const panelHeight = 270;
const columns = 2;
const margin = { left: 70, right: 40, top: 60, bottom: 40 };

export function plotGrowth({ machine, results }) {
  const ids = [...new Set(results.map(({ series }) => series))];
  const content = ids.map((id, i) => {
    const left = (i % columns) * panelWidth;
    const top = Math.floor(i / columns) * panelHeight;
    return drawPanel(
      results.filter(({ series }) => series === id),
      left,
      top,
    );
  });
  const bottom = Math.ceil(ids.length / columns) * panelHeight;
  const { cpu, cores, node, redis, etcd } = machine;
  const note = `${cpu}, ${cores} cores · Node ${node} · Redis ${redis} · etcd ${etcd} · medians`;
  content.push(text(10, bottom + 10, note, 'small'));
  return picture(columns * panelWidth, bottom + 24, 'How the cost of nestjs-lock grows', content);
}

function drawPanel(lines, left, top) {
  const { figure, label } = lines[0].plotted;
  const drawn = lines.map(({ store, rows }) => ({
    store,
    points: rows
      .map(({ point, summary }) => [point, summary[figure]?.median])
      .filter(([, value]) => value > 0),
  }));
  const points = drawn.flatMap((line) => line.points);
  if (points.length === 0) return [];
  const xs = points.map(([point]) => point);
  const [west, east] = [left + margin.left, left + panelWidth - margin.right];
  const [north, south] = [top + margin.top, top + panelHeight - margin.bottom];
  const yTicks = decades(points.map(([, value]) => value));
  const x = logScale([Math.min(...xs), Math.max(...xs)], [west, east]);
  const y = logScale([yTicks[0], yTicks.at(-1)], [south, north]);
  return [
    text(left + 10, top + 20, lines[0].title.replace(/, on \w+$/, ''), 'title'),
    text(left + 10, top + 38, label, 'small'),
    yTicks.map((tick) => [
      line(west, y(tick), east, y(tick), 'grid'),
      text(west - 8, y(tick) + 4, shownTick(tick), 'small end'),
    ]),
    [...new Set(xs)].map((tick) => text(x(tick), south + 18, shownTick(tick), 'small middle')),
    drawn
      .filter((line) => line.points.length > 0)
      .map(({ store, points }) => {
        const classes = store === 'redis' ? 'ours' : '';
        const [lastPoint, lastValue] = points.at(-1);
        return [
          polyline(
            points.map(([point, value]) => [x(point), y(value)]),
            `line ${classes}`.trim(),
          ),
          points.map(([point, value]) => dot(x(point), y(value), `dot ${classes}`.trim())),
          text(
            x(lastPoint),
            y(lastValue) - 10,
            `${store} ${shown(lastValue)}`,
            `end ${classes}`.trim(),
          ),
        ];
      }),
  ];
}

function shownTick(number) {
  return number.toLocaleString('en-US', { maximumSignificantDigits: 3 });
}
