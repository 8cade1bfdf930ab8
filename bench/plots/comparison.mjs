// The comparison: a panel per workload and store, Redis to the left and etcd to the right; a bar per
// contestant, its length the throughput against the raw commands on a scale of powers of ten.
import { shown } from '../harness/table.mjs';
import { bar, decades, line, logScale, picture, text } from './svg.mjs';

const row = 20;
const head = 58;
const panelWidth = 460;
const labels = 155;
const columns = ['redis', 'etcd'];
const ratioOf = ({ ratios }) => ratios.ops;

export function plotComparison({ machine, results }) {
  const panels = results.flatMap(({ workload, title, rows }) =>
    columns.flatMap((store) => {
      const drawn = rows.filter((result) => result.store === store && ratioOf(result)?.median > 0);
      return drawn.length > 1 ? [{ workload, title, store, rows: drawn.sort(byRatio) }] : [];
    }),
  );

  const content = [];
  const bottoms = columns.map(() => 10);
  for (const panel of panels) {
    const column = columns.indexOf(panel.store);
    content.push(drawPanel(panel, 10 + column * panelWidth, bottoms[column]));
    bottoms[column] += head + panel.rows.length * row + 30;
  }
  const bottom = Math.max(...bottoms);
  const { cpu, cores, node, redis, etcd } = machine;
  const note = `${cpu}, ${cores} cores · Node ${node} · Redis ${redis} · etcd ${etcd} · operations a second against the raw commands, median and range`;
  content.push(text(10, bottom, note, 'small'));
  return picture(
    columns.length * panelWidth + 10,
    bottom + 14,
    'nestjs-lock beside its peers',
    content,
  );
}

function byRatio(a, b) {
  return ratioOf(b).median - ratioOf(a).median;
}

function drawPanel({ workload, title, store, rows }, left, top) {
  const values = rows.flatMap((result) => [ratioOf(result).min, ratioOf(result).max, 0.5]);
  const ticks = decades(values.filter((value) => value > 0));
  const right = left + panelWidth - 70;
  const x = logScale([ticks[0], ticks.at(-1)], [left + labels, right]);
  const bottom = top + head + rows.length * row;
  return [
    text(left, top + 16, `${workload} on ${store}`, 'title'),
    text(left, top + 32, title, 'small'),
    ticks.map((tick) => [
      line(x(tick), top + head - 6, x(tick), bottom, tick === 1 ? 'mark' : 'grid'),
      text(x(tick), top + head - 10, `${tick}×`, 'small middle'),
    ]),
    rows.map((result, i) => {
      const { median, min, max } = ratioOf(result);
      const y = top + head + i * row;
      const ours = result.ours ? 'ours' : '';
      return [
        text(left + labels - 8, y + 14, result.name, `end ${ours}`.trim()),
        bar(left + labels, y + 4, x(median) - left - labels, row - 8, `bar ${ours}`.trim()),
        line(x(min || ticks[0]), y + row / 2, x(max), y + row / 2, 'range'),
        text(right + 8, y + 14, `${shown(median)}×`, ours),
      ];
    }),
  ];
}
