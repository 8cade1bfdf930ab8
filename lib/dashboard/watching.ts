import type { IncomingMessage, ServerResponse } from 'node:http';
import { Deadline } from '../time/clock.js';
import type { Access } from './access.js';
import { dashboardState, type DashboardView } from './dashboard-state.js';
import { EventStream } from './event-stream.js';
import type { LockWatch, Viewer } from './lock-watch.js';

/** So often it is asked whether who looks still may, in milliseconds. */
const STILL_ALLOWED = 30_000;

/** So many rows a page gets unless it asks for more, and at most. */
const ROWS = { usual: 100, most: 1_000 };

/** A longer filter is cut off. */
const LONGEST_FILTER = 200;

/** One page that is open, and told each second. */
export class Watching implements Viewer {
  shown: readonly string[] = [];
  /** Resolves when the page is gone. */
  readonly over: Promise<void>;
  readonly #stream: EventStream;
  readonly #view: DashboardView;
  #asked = Deadline.in(STILL_ALLOWED);

  constructor(
    private readonly watch: LockWatch,
    private readonly access: Access,
    private readonly request: IncomingMessage,
    response: ServerResponse,
    query: URLSearchParams,
  ) {
    this.#view = readView(query);
    this.#stream = new EventStream(response);
    this.over = this.#look();
  }

  tell(): void {
    if (this.#asked.passed) void this.#askAgain();
    const state = dashboardState(this.watch, this.#view);
    const { open } = this.#view;
    this.shown = [...(open === undefined ? [] : [open]), ...state.rows.map(({ key }) => key)];
    this.#stream.send('state', state);
  }

  end(): void {
    this.#stream.end();
  }

  async #look(): Promise<void> {
    const { access, request, watch } = this;
    const [revoke, forceRelease] = await Promise.all([
      access.allows(request, 'revoke'),
      access.allows(request, 'forceRelease'),
    ]);
    this.#stream.send('allowed', { revoke, forceRelease });
    this.tell();
    const leave = watch.join(this);
    await this.#stream.closed;
    leave();
  }

  async #askAgain(): Promise<void> {
    this.#asked = Deadline.in(STILL_ALLOWED);
    if (!(await this.access.allows(this.request, 'view'))) this.end();
  }
}

function readView(query: URLSearchParams): DashboardView {
  const limit = Number(query.get('limit') ?? ROWS.usual);
  return {
    filter: (query.get('filter') ?? '').slice(0, LONGEST_FILTER),
    limit: limit >= 1 ? Math.min(Math.floor(limit), ROWS.most) : ROWS.usual,
    open: query.get('key') ?? undefined,
  };
}
