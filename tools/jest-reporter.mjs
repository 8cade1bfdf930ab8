// Two things that jest does not do by itself: it hands its totals and what failed to tools/test.mjs, and
// a run that is over but does not end (a test left a connection open) fails instead of hanging for ever.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

const patience = 10_000;

export default class Reporter {
  #watching;

  constructor({ watch, watchAll }) {
    this.#watching = watch || watchAll;
  }

  onRunComplete(_, results) {
    const passed = results.numPassedTests;
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites; // files that did not load
    if (process.env.JEST_TOTALS) {
      const failures = results.testResults.flatMap(failuresOf);
      writeFileSync(process.env.JEST_TOTALS, JSON.stringify({ passed, failed, failures }));
    }
    if (this.#watching) return;
    setTimeout(() => {
      console.error(`jest still runs ${patience} ms after the last test: one left something open`);
      process.exit(1);
    }, patience).unref();
  }
}

/** Each failed test of a file in a few lines, and what failed outside of its tests. */
function failuresOf({ testFilePath, testResults, testExecError }) {
  const file = relative(process.cwd(), testFilePath);
  const outside = testExecError ? [`${file}\n${beginning(testExecError.stack)}`] : [];
  const failed = testResults.filter(({ status }) => status === 'failed');
  return failed
    .map((test) => `${file}: ${test.fullName}\n${beginning(test.failureMessages[0])}`)
    .concat(outside);
}

/** What was expected and what came, without the stack. */
function beginning(message) {
  const [text] = stripVTControlCharacters(message).split('\n    at ');
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines
    .slice(0, 12)
    .map((line) => `    ${line}`)
    .join('\n');
}
