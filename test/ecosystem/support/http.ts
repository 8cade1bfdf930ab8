import type { INestApplication } from '@nestjs/common';

/** What an application answers to a GET: the status, and the body as JSON where it is. */
export async function get(
  app: INestApplication,
  path: string,
): Promise<{ status: number; body: unknown }> {
  const reply = await fetch(`${await app.getUrl()}${path}`);
  const text = await reply.text();
  return { status: reply.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}
