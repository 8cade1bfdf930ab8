import type { IncomingMessage } from 'node:http';
import { LockConfigurationError } from '../errors/index.js';
import { shown, shownOption } from '../text/shown.js';
import { checkIsOptions, checkName } from '../options/option-checks.js';

/** What somebody at the dashboard wants to do: look, ask a holder for its lock, or break it. */
export type DashboardAction = 'view' | 'revoke' | 'forceRelease';

/**
 * Whether this request may do this. What it throws is logged, and means no. The request is Node's own,
 * on Fastify as well: look at its headers and its socket.
 */
export type DashboardAuthorize = (
  request: IncomingMessage,
  action: DashboardAction,
) => boolean | Promise<boolean>;

/** Options of `LockDashboardModule.forRoot()`. */
export interface LockDashboardOptions {
  /**
   * Where the page is, behind the application's global prefix if it has one.
   * @default '/locks'
   */
  path?: string;

  /**
   * Who may do what. Asked at each request, and again every 30 seconds while a page is open.
   * @default nobody, but while NODE_ENV is `development` who calls it `localhost` may look
   */
  authorize?: DashboardAuthorize;

  /**
   * Whether locks can only be looked at, whoever asks. With `false` they can be asked for and broken,
   * where `authorize` says so.
   * @default true
   */
  readOnly?: boolean;

  /** The named LockModule instance whose locks are shown. */
  name?: string;

  /**
   * How many keys are looked at in a second, on an average and a hundred at a time, however many pages
   * are open; none while no page is. Each look is one command to Redis.
   * @default 500
   */
  looksPerSecond?: number;
}

/** For `forRootAsync({ useClass })` and `{ useExisting }`. */
export interface LockDashboardOptionsFactory {
  createLockDashboardOptions(): LockDashboardOptions | Promise<LockDashboardOptions>;
}

/** Options as they are used. */
export interface DashboardSettings {
  readonly path: string;
  readonly authorize: DashboardAuthorize | undefined;
  readonly readOnly: boolean;
  readonly name: string | undefined;
  readonly looksPerSecond: number;
}

/** Of the whole path: what is below it are the files of the page. */
const PATH = /^(\/[\w.~-]+)+$/;

/** @throws LockConfigurationError that names the option and what was given */
export function readDashboardOptions(options: unknown): DashboardSettings {
  checkIsOptions(options);
  const {
    path = '/locks',
    authorize,
    readOnly = true,
    name,
    looksPerSecond = 500,
    ...others
  } = options as Record<string, unknown>;
  for (const [option, value] of Object.entries(others)) {
    throw new LockConfigurationError(
      `unknown option ${shown(option)} of the dashboard, got ${shownOption(option, value)}`,
    );
  }
  if (typeof path !== 'string' || !PATH.test(path)) {
    throw new LockConfigurationError(`path must be a path such as '/locks', got ${shown(path)}`);
  }
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new LockConfigurationError(`authorize must be a function, got ${shown(authorize)}`);
  }
  if (typeof readOnly !== 'boolean') {
    throw new LockConfigurationError(`readOnly must be true or false, got ${shown(readOnly)}`);
  }
  checkName(name);
  if (typeof looksPerSecond !== 'number' || !(looksPerSecond >= 1)) {
    throw new LockConfigurationError(
      `looksPerSecond must be a number of 1 or more, got ${shown(looksPerSecond)}`,
    );
  }
  const asked = authorize as DashboardAuthorize | undefined;
  return { path, authorize: asked, readOnly, name, looksPerSecond };
}
