import { parseArgs } from 'node:util';

export const usage = `npm run bench -- [options]           contestants side by side
npm run bench -- growth [options]    how the cost of nestjs-lock grows
npm run bench -- bloat [options]     whether its tables on PostgreSQL grow

  --only W1,W2/64      these workloads (or, of growth, series) alone
  --contestants a,b    these contestants alone, by the beginning of their names
  --baseline REF       this commit as well, as baseline/redis and so on
  --rounds N           how many rounds; if not given 5 (growth: 3), and fewer of what takes long
  --minutes N          how long, of bloat; if not given 5
  --quick              shorter times: good enough to see a trend
  --smoke              a check that the bench works, not a measurement
  --json FILE          all figures
  --svg FILE           the plot`;

/** @throws when it does not understand the arguments */
export function readOptions(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      contestants: { type: 'string' },
      baseline: { type: 'string' },
      rounds: { type: 'string' },
      minutes: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      json: { type: 'string' },
      svg: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const [program = 'compare', ...more] = positionals;
  if (more.length > 0 || !['compare', 'growth', 'bloat'].includes(program)) {
    throw new Error(`I do not know ${positionals.join(' ')}`);
  }
  const { smoke, quick } = values;
  const rounds = smoke ? 1 : values.rounds && Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1)) {
    throw new Error('--rounds must be 1 or more');
  }
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) throw new Error('--minutes must be more than 0');
  return {
    ...values,
    program,
    rounds,
    minutes,
    scale: smoke ? 0.1 : quick ? 0.4 : 1,
    only: list(values.only ?? (smoke && program === 'compare' ? smokeWorkloads : undefined)),
    contestants: list(values.contestants ?? (smoke ? smokeContestants : undefined)),
  };
}

/** Each part of the bench once, and each backend of ours. */
const smokeWorkloads = 'W1,W3,W4,W6/same,W7,W8';
const smokeContestants =
  'raw/redis,nestjs-lock/redis,nestjs-lock/redlock@3,nestjs-lock/etcd,nestjs-lock/postgres,nestjs-lock/memory';

function list(text) {
  return text?.split(',').filter(Boolean);
}
