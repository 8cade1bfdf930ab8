import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { LockBackend } from '../backends/lock-backend.js';
import { Dashboard } from '../dashboard/dashboard.js';
import { readDashboardOptions } from '../dashboard/dashboard-options.js';
import { messageOf } from '../text/shown.js';
import type { DashboardInvocation } from './arguments.js';
import { CliError, EXIT } from './exit-codes.js';
import { print } from './output.js';
import { withService } from './service.js';

/** Only this machine, and of its users only those who know the path. */
const HOST = '127.0.0.1';

/** Serves the dashboard until it is told to stop. */
export function dashboard(
  { port, writable }: DashboardInvocation,
  backend: LockBackend,
): Promise<number> {
  return withService(backend, 'nestjs-lock', async (service) => {
    const path = `/${randomBytes(16).toString('hex')}`;
    const options = { path, authorize: () => true, readOnly: !writable };
    const page = new Dashboard(readDashboardOptions(options), () => service);
    const server = createServer((request, response) => void page.handle(request, response));
    print(`http://${HOST}:${await listen(server, port)}${path}/`);
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    page.close();
    server.close();
    server.closeAllConnections();
    return EXIT.ok;
  });
}

/** Resolves to the port, which is any that is free for 0. */
async function listen(server: Server, port: number): Promise<number> {
  try {
    await once(server.listen(port, HOST), 'listening');
  } catch (cause) {
    throw new CliError(`--port ${port} cannot be used: ${messageOf(cause)}`, EXIT.unavailable, {
      cause,
    });
  }
  return (server.address() as AddressInfo).port;
}
