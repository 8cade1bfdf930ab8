// `npm run check`: what else a change must survive. The code's form, the docs and the package, and
// the tests that need no server on the other versions that are promised.
import { newestLts } from './newest-lts.mjs';
import { ensurePrograms } from './programs.mjs';
import { conclude, jest, script } from './steps.mjs';

const form = ['lint', 'typecheck', 'check:format', 'check:imports', 'check:docs'];

const onOtherMajors = ['--selectProjects', 'nest-11', 'opentelemetry-3', '--maxWorkers', '1'];

// Whether planted faults are found does not depend on Node.
const onNewestLts = [
  ...['--selectProjects', 'unit', 'decorator'],
  ...['--testPathIgnorePatterns', 'conformance-suite', '--maxWorkers', '1'],
];

async function otherVersions() {
  await script('check:package');
  await script('check:consumers');
  await jest(onOtherMajors);
  const lts = newestLts();
  if (lts === undefined) console.log('\n=== no Node to be had for the newest LTS: not run there');
  else if (lts !== process.execPath) await jest(onNewestLts, { node: lts });
}

async function ourForm() {
  for (const name of form) await script(name);
}

ensurePrograms();
await script('build');
await Promise.all([ourForm(), otherVersions()]);
conclude();
