import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { closeAfterTest } from './nest-application.js';

/** Just installed, it is read from the disk for the first time, in milliseconds. */
export const FIRST_START = 300_000;

/** A real Chromium without a window: the one of the system, see tools/programs.mjs. */
export class TestBrowser {
  /** What went wrong in pages: errors of scripts, and what the Content-Security-Policy kept out. */
  readonly complaints: string[] = [];

  private constructor(private readonly browser: Browser) {}

  static async start(): Promise<TestBrowser> {
    const { TEST_CHROMIUM: executablePath = '/usr/bin/chromium' } = process.env;
    // Its sandbox does not work for root, nor in most containers; it sees nothing but our own page.
    const args = ['--no-sandbox'];
    const browser = await chromium.launch({ executablePath, args, timeout: FIRST_START });
    return new TestBrowser(browser);
  }

  async open(url: string, options: BrowserContextOptions = {}): Promise<Page> {
    // Before the application: its server waits for connections that a browser opened in advance.
    const context = closeAfterTest(await this.browser.newContext(options));
    const page = await context.newPage();
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text());
    });
    await page.goto(url);
    return page;
  }

  async stop(): Promise<void> {
    await this.browser.close();
  }
}
