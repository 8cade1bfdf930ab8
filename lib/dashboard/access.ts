import type { IncomingMessage } from 'node:http';
import { Logger } from '@nestjs/common';
import { messageOf } from '../text/shown.js';
import type { DashboardAction, DashboardSettings } from './dashboard-options.js';

/** Who may do what. */
export class Access {
  readonly #logger = new Logger('LockDashboardModule');

  constructor(private readonly settings: Pick<DashboardSettings, 'authorize' | 'readOnly'>) {}

  async allows(request: IncomingMessage, action: DashboardAction): Promise<boolean> {
    const { authorize, readOnly } = this.settings;
    if (action !== 'view' && readOnly) return false;
    if (authorize === undefined) return isAtDevelopment(request);
    try {
      // Nothing but `true`: an application without types may answer with something else.
      return ((await authorize(request, action)) as unknown) === true;
    } catch (error) {
      this.#logger.error(`authorize failed, so that ${action} was refused: ${messageOf(error)}`);
      return false;
    }
  }
}

/** The names that no other host can give itself in a browser: see DNS rebinding. */
const LOCALHOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

function isAtDevelopment({ headers }: IncomingMessage): boolean {
  return process.env.NODE_ENV === 'development' && LOCALHOST.test(headers.host ?? '');
}

/** Only a script can send it, and of another origin only if it was allowed to beforehand: it never is. */
const OWN_HEADER = 'x-nestjs-lock';

/** Why it may be another site that has the browser send this; undefined when it cannot be. */
export function forgeryOf({ headers }: IncomingMessage): string | undefined {
  if (!/^application\/json *(;|$)/i.test(headers['content-type'] ?? '')) {
    return 'Content-Type must be application/json';
  }
  if (headers[OWN_HEADER] === undefined) return `the header ${OWN_HEADER} is missing`;
  return isSameOrigin(headers) ? undefined : 'the request comes from another origin';
}

/** By what the browser says of it, which no page can change. */
function isSameOrigin(headers: IncomingMessage['headers']): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin';
  // Browsers leave it out where the page did not come by TLS.
  const { origin, host } = headers;
  return host !== undefined && URL.canParse(origin ?? '') && new URL(origin ?? '').host === host;
}
