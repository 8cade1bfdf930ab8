import { FastifyAdapter } from '@nestjs/platform-fastify';
import { httpRow } from '../support/http-row.js';

await httpRow('@nestjs/platform-fastify', () => new FastifyAdapter());
