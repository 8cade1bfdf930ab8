// Two things that jest does not do by itself: it hands its totals to tools/test.mjs, and a run that
// is over but does not end (a test left a connection open) fails instead of hanging for ever.
import { writeFileSync } from 'node:fs';

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
      writeFileSync(process.env.JEST_TOTALS, JSON.stringify({ passed, failed }));
    }
    if (this.#watching) return;
    setTimeout(() => {
      console.error(`jest still runs ${patience} ms after the last test: one left something open`);
      process.exit(1);
    }, patience).unref();
  }
}
