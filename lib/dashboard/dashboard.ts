import type { IncomingMessage, ServerResponse } from 'node:http';
import { Logger } from '@nestjs/common';
import { LockError } from '../errors/index.js';
import { messageOf, shown } from '../text/shown.js';
import type { LockService } from '../lock.service.js';
import { Access, forgeryOf } from './access.js';
import type { DashboardSettings } from './dashboard-options.js';
import { answer, answerJson, answerWith, readJson } from './http-answers.js';
import { LockWatch } from './lock-watch.js';
import { carryOut, OPERATIONS, type Operation, readOrder } from './operations.js';
import { pageFiles } from './page-files.js';
import { Refusal } from './refusal.js';
import { Watching } from './watching.js';

const NO_SUCH_PAGE = 'there is no such page';

/** Where Express and Nest's Fastify keep the address as it was asked for. */
type Request = IncomingMessage & { originalUrl?: string };

/** More pages at once are told to come later: each costs the application some work a second. */
const MOST_PAGES = 100;

/**
 * The dashboard as an HTTP handler of Node, which both of Nest's platforms have, and the command line
 * without them: the page and its files, what it is told each second, and what it orders.
 */
export class Dashboard {
  readonly #access: Access;
  readonly #end: RegExp;
  readonly #pages = new Set<Watching>();
  readonly #logger = new Logger('LockDashboardModule');
  #watch: LockWatch | undefined;
  #closed = false;

  constructor(
    private readonly settings: DashboardSettings,
    private readonly locks: () => LockService,
  ) {
    this.#access = new Access(settings);
    // At the end: there may be a prefix, and the path is there again in none of the names.
    this.#end = new RegExp(`${settings.path.replaceAll('.', '\\.')}(?:/([\\w.-]*))?$`);
  }

  /** Answers whatever is asked at the path and below. */
  async handle(request: Request, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response);
    } catch (error) {
      const { status, message, headers } = this.#refusalOf(error);
      if (response.headersSent) response.destroy();
      else answerJson(response, status, { message }, headers);
    }
  }

  /** Ends what is told to pages. */
  close(): void {
    this.#closed = true;
    for (const page of this.#pages) page.end();
  }

  async #answer(request: Request, response: ServerResponse): Promise<void> {
    if (!(await this.#access.allows(request, 'view'))) {
      throw new Refusal(403, 'not authorized to look at the locks');
    }
    const url = new URL(request.originalUrl ?? request.url ?? '', 'http://localhost');
    const [found, name] = this.#end.exec(url.pathname) ?? [];
    if (found === undefined) throw new Refusal(404, NO_SUCH_PAGE);
    const operation = OPERATIONS.get(name ?? '');
    const methods = operation === undefined ? ['GET', 'HEAD'] : ['POST'];
    if (!methods.includes(request.method ?? '')) {
      const allow = methods.join(', ');
      throw new Refusal(405, `only ${allow} is understood here`, { Allow: allow });
    }
    if (operation !== undefined) await this.#operate(operation, request, response);
    else if (name === 'events') await this.#tell(url.searchParams, request, response);
    else this.#show(name, response);
  }

  #show(name: string | undefined, response: ServerResponse): void {
    if (name === undefined) {
      // Relative, as what is before it may be known only to a proxy.
      const folder = this.settings.path.split('/').at(-1) ?? '';
      answerWith(response, 308, { Location: `${folder}/` });
      response.end();
      return;
    }
    const file = pageFiles.get(name);
    if (file === undefined) throw new Refusal(404, NO_SUCH_PAGE);
    answer(response, 200, file.type, file.text);
  }

  async #tell(query: URLSearchParams, request: Request, response: ServerResponse): Promise<void> {
    if (this.#closed || this.#pages.size >= MOST_PAGES) {
      throw new Refusal(503, 'too many look at the locks, or it closes', { 'Retry-After': '5' });
    }
    const page = new Watching(this.#watched(), this.#access, request, response, query);
    this.#pages.add(page);
    await page.over;
    this.#pages.delete(page);
  }

  async #operate(operation: Operation, request: Request, response: ServerResponse): Promise<void> {
    const forgery = forgeryOf(request);
    if (forgery !== undefined) throw new Refusal(403, forgery);
    if (this.settings.readOnly) throw new Refusal(403, 'this dashboard is read-only');
    if (!(await this.#access.allows(request, operation))) {
      throw new Refusal(403, `not authorized to ${operation}`);
    }
    const order = readOrder(await readJson(request));
    if (order === undefined) throw new Refusal(400, 'the body must be JSON with a key');
    const key = shown(order.key);
    const holders = await carryOut(operation, order, this.locks());
    this.#logger.warn(`${operation} of ${key}, which had ${holders} holders`);
    answerJson(response, 200, { holders });
    // For the pages: they show it in the next second.
    await this.#watch?.look(order.key).catch(() => undefined);
  }

  #refusalOf(error: unknown): Refusal {
    if (error instanceof Refusal) return error;
    this.#logger.error(`a request failed: ${messageOf(error)}`);
    const code = error instanceof LockError ? error.code : undefined;
    if (code === 'LOCK_KEY' || code === 'LOCK_CONFIGURATION') {
      return new Refusal(400, messageOf(error));
    }
    return code === undefined
      ? new Refusal(500, 'it failed: see the log of the application')
      : new Refusal(503, messageOf(error));
  }

  #watched(): LockWatch {
    return (this.#watch ??= new LockWatch(this.locks(), this.settings.looksPerSecond));
  }
}
