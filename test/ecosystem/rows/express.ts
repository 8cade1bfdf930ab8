import { ExpressAdapter } from '@nestjs/platform-express';
import { httpRow } from '../support/http-row.js';

await httpRow('@nestjs/platform-express', () => new ExpressAdapter());
