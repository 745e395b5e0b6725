/** A headless Chromium, and what it complains about while it shows a page. */

import { type Browser, chromium } from 'playwright-core';
import { afterAll } from 'vitest';

let browser: Promise<Browser> | undefined;

afterAll(async () => {
  await (await browser)?.close();
});

interface Visit {
  /** What scripts, styles and the page's own rules logged. */
  readonly complaints: readonly string[];
  /** Everything that was requested except for the page. */
  readonly requests: readonly string[];
  /** Evaluates an expression in the page. */
  evaluate(expression: string): Promise<unknown>;
  screenshot(path: string): Promise<void>;
}

/** Opens a file in a window of this width. */
export async function visit(file: string, { width, scheme = 'light' }: { width: number; scheme?: 'light' | 'dark' }): Promise<Visit> {
  // Root has no sandbox, and a container little shared memory.
  browser ??= chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
  const page = await (await browser).newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
  const url = `file://${file}`;
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', ({ message }) => complaints.push(message));
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:')) requests.push(request.url());
  });
  await page.goto(url);
  return {
    complaints,
    requests,
    evaluate: (expression) => page.evaluate(expression),
    async screenshot(path) {
      await page.screenshot({ path, fullPage: true });
    },
  };
}
