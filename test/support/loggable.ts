import { inspect } from 'node:util';
import { ConsoleLogger, type ConsoleLoggerOptions } from '@nestjs/common';

/** All that a log may say of a value: as text and as JSON, however deep it looks. */
export function loggable(value: unknown): string {
  return [
    JSON.stringify({ value }),
    withoutCycles({ value }),
    inspect(value, { depth: Infinity }),
    inspect(value, { depth: Infinity, showHidden: true, getters: true }),
    // So do the comparisons of test runners.
    inspect(value, { depth: Infinity, showHidden: true, customInspect: false }),
    logged({ depth: 20, showHidden: true }, value),
    logged({ json: true, depth: 20 }, value),
    logged({ json: true, compact: false, colors: true, depth: 20 }, value),
  ].join('\n');
}

/** As pino and winston do: what comes again is left out. */
function withoutCycles(value: unknown): string {
  const seen = new Set();
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one === 'bigint') return String(one);
    if (typeof one !== 'object' || one === null) return one;
    if (seen.has(one)) return undefined;
    seen.add(one);
    return one;
  });
}

/** What Nest's own logger prints, as the message and as a parameter of an error. */
export function logged(options: ConsoleLoggerOptions, value: unknown): string {
  let text = '';
  class Recorder extends ConsoleLogger {
    protected override printMessages(...given: Parameters<ConsoleLogger['printMessages']>): void {
      const streams = [process.stdout, process.stderr];
      const writers = streams.map((stream) => stream.write.bind(stream));
      for (const stream of streams) {
        stream.write = (chunk: unknown) => {
          text += String(chunk);
          return true;
        };
      }
      try {
        super.printMessages(...given);
      } finally {
        streams.forEach((stream, index) => (stream.write = writers[index]!));
      }
    }
  }
  const logger = new Recorder(options);
  logger.log({ value });
  logger.error(value);
  return text;
}
