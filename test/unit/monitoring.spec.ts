import { readFileSync } from 'node:fs';
import { measureLocks } from 'nestjs-lock/prometheus';
import { Registry } from 'prom-client';
import { parse } from 'yaml';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Record<string, string>;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly query: string }[] };
}

const file = (name: string) =>
  readFileSync(new URL(`../../monitoring/${name}`, import.meta.url), 'utf8');

const alerts = parse(file('prometheus-alerts.yml')) as { groups: { rules: Rule[] }[] };
const rules = alerts.groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(file('grafana-dashboard.json')) as Dashboard;
const queries = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => [title, expr] as const),
  ),
  ...dashboard.templating.list.slice(1).map(({ query }) => ['a variable', query] as const),
];

/** The metrics that there are, by name, and which labels each has. */
function measured(): Map<string, readonly string[]> {
  const registry = new Registry();
  const end = measureLocks({ registry });
  const metrics = registry.getMetricsAsArray() as unknown as {
    name: string;
    type: string;
    labelNames: string[];
  }[];
  end();
  return new Map(
    metrics.flatMap(({ name, type, labelNames }): [string, string[]][] =>
      type === 'histogram'
        ? [
            [`${name}_bucket`, [...labelNames, 'le']],
            [`${name}_count`, labelNames],
            [`${name}_sum`, labelNames],
          ]
        : [[name, labelNames]],
    ),
  );
}

const metrics = measured();

/** Asserts that a query asks for metrics that there are, by labels that they have. */
function expectAnswered(query: string): void {
  const words = query.replace(/"[^"]*"/g, '""').match(/[a-z_]{3,}/g) ?? [];
  const asked = words.filter((word) => metrics.has(word));
  expect(asked).not.toEqual([]);
  const labels = new Set(asked.flatMap((name) => metrics.get(name) ?? []));
  const named = words.filter((word) => /^(nestjs_lock|error)_/.test(word));
  expect(named.filter((word) => !metrics.has(word) && !labels.has(word))).toEqual([]);
}

it.each(rules.map((rule) => [rule.alert, rule] as const))(
  'alert %s',
  (_, { expr, annotations }) => {
    expectAnswered(expr);
    expect(Object.keys(annotations)).toEqual(['summary', 'description']);
  },
);

it.each(queries)('dashboard: %s', (_, query) => {
  expectAnswered(query);
});

it('each alert is explained, and each metric documented', () => {
  const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  for (const { alert } of rules) expect(operations).toContain(`### ${alert}`);
  for (const name of metrics.keys()) {
    expect(operations).toContain(`\`${name.replace(/_(bucket|count|sum)$/, '')}\``);
  }
});

it('the dashboard shows each metric', () => {
  const text = queries.map(([, query]) => query).join('\n');
  const names = [...metrics.keys()].map((name) => name.replace(/_(bucket|count|sum)$/, ''));
  expect(new Set(names).size).toBeGreaterThan(10);
  for (const name of names) expect(text).toContain(name);
});
