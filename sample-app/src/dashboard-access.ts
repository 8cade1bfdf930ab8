import type { IncomingMessage } from 'node:http';

const THIS_MACHINE = ['127.0.0.1', '::1', '::ffff:127.0.0.1'];

/**
 * Who sits at this machine may look at the locks, and break them. An application of yours asks for a
 * session, and what its user may do. The name keeps out pages of others that were given our address.
 */
export function isOperator({ headers, socket }: IncomingMessage): boolean {
  return (
    THIS_MACHINE.includes(socket.remoteAddress ?? '') && /^localhost(:|$)/.test(headers.host ?? '')
  );
}
