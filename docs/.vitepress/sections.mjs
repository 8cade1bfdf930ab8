// The navigation: each section with its pages, a title and a path below docs/ each.
// llms.txt is made of it as well, and `npm run check:docs` fails for a page that is missing here.
export const sections = [
  {
    title: 'Start',
    open: true,
    pages: [
      ['Five minutes', 'start'],
      ['What it guarantees', 'guarantees'],
    ],
  },
  {
    title: 'Concepts',
    open: true,
    pages: [
      ['Lease', 'concepts/lease'],
      ['Fencing token', 'concepts/token'],
      ['Validity', 'concepts/validity'],
      ['Hand-off', 'concepts/hand-off'],
      ['The words', 'glossary'],
    ],
  },
  {
    title: 'Guides',
    open: true,
    pages: [
      ['What to lock', 'guides/what-to-lock'],
      ['HTTP', 'guides/http'],
      ['Cron jobs', 'guides/cron'],
      ['Queues', 'guides/queues'],
      ['Events', 'guides/events'],
      ['Transactions', 'guides/transactions'],
      ['Migrations', 'guides/migrations'],
      ['Leaders', 'guides/leaders'],
      ['Readers and writers', 'guides/readers'],
      ['Limits', 'guides/limits'],
      ['Several keys', 'guides/several-keys'],
      ['Streams and downloads', 'guides/streams'],
      ['Tests', 'guides/tests'],
      ['Deploys', 'guides/deploys'],
      ['Web Locks', 'guides/web-locks'],
      ['Command line', 'guides/command-line'],
      ['A backend of your own', 'guides/own-backend'],
    ],
  },
  {
    title: 'Backends',
    open: true,
    pages: [
      ['Choose', 'backends/index'],
      ['Memory', 'backends/memory'],
      ['Redis', 'backends/redis'],
      ['Redis Sentinel', 'backends/sentinel'],
      ['Redis Cluster', 'backends/cluster'],
      ['node-redis', 'backends/node-redis'],
      ['Redlock', 'backends/redlock'],
      ['etcd', 'backends/etcd'],
      ['PostgreSQL', 'backends/postgres'],
      ['PostgreSQL', 'postgres'],
    ],
  },
  {
    title: 'Operations',
    pages: [
      ['Running it', 'operations'],
      ['Who holds what', 'inspecting'],
      ['Dashboard', 'dashboard'],
      ['Health', 'health'],
      ['Telemetry', 'telemetry'],
      ['What is logged', 'logging'],
      ['Failover', 'failover'],
      ['Shutdown', 'shutdown'],
    ],
  },
  {
    title: 'Reference',
    pages: [
      ['Options', 'reference/options'],
      ['Errors', 'reference/errors'],
      ['API', 'api/'],
      ['Beside other packages', 'ecosystem'],
    ],
  },
  {
    title: 'Moving here',
    pages: [
      ['From redlock', 'moving/redlock'],
      ['From redis-semaphore', 'moving/redis-semaphore'],
      ['From murlock', 'moving/murlock'],
      ['From @anchan828/nest-redlock', 'moving/nest-redlock'],
      ['From ShedLock', 'moving/shedlock'],
      ['From advisory locks', 'moving/advisory-locks'],
    ],
  },
  {
    title: 'Inside',
    pages: [
      ['Proof', 'proof'],
      ['Performance', 'performance'],
      ['Architecture', 'architecture'],
    ],
  },
];
