import type { IncomingMessage, ServerResponse } from 'node:http';

/** On all that the dashboard answers. Nothing but its own files, nothing inline, and in nobody's frame. */
const HEADERS = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  // Nor may a proxy or a middleware compress a stream, and so keep it back.
  'Cache-Control': 'no-store, no-transform',
} as const;

/** Begins an answer. */
export function answerWith(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
): void {
  response.statusCode = status;
  for (const [name, value] of Object.entries({ ...HEADERS, ...headers })) {
    response.setHeader(name, value);
  }
}

export function answer(
  response: ServerResponse,
  status: number,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  answerWith(response, status, { 'Content-Type': `${type}; charset=utf-8`, ...headers });
  response.end(body);
}

export function answerJson(
  response: ServerResponse,
  status: number,
  body: object,
  headers?: Readonly<Record<string, string>>,
): void {
  answer(response, status, 'application/json', JSON.stringify(body), headers);
}

/** Larger than any request of the page, in bytes. */
const LONGEST_BODY = 16_384;

/** Resolves to undefined when it is no JSON, or longer than the page's own requests. */
export async function readJson(request: IncomingMessage & { body?: unknown }): Promise<unknown> {
  // A body parser may have been there before: on Express it is, on Fastify it comes later.
  if (request.body !== undefined) return request.body;
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > LONGEST_BODY) return undefined;
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString());
  } catch {
    return undefined;
  }
}
