import {
  Controller,
  Get,
  Injectable,
  type NestInterceptor,
  Post,
  UseInterceptors,
} from '@nestjs/common';
import { Locked, LockModule } from 'nestjs-lock';
import { Log, start } from '../support/nest-application.js';

@Injectable()
class TransactionInterceptor implements NestInterceptor {
  intercept(...[, next]: Parameters<NestInterceptor['intercept']>) {
    return next.handle();
  }
}

class Envelope extends TransactionInterceptor {}

const warning = (method: string) =>
  `TransactionInterceptor runs around ${method}, whose lock is given back before it commits: ` +
  'begin the transaction under the lock instead.';

async function warningsOf(controller: new () => object): Promise<string[]> {
  const log = new Log();
  await start({ imports: [LockModule.forRoot()], controllers: [controller] }, { log });
  return log.warnings;
}

describe('a warning at the start of an interceptor that may commit after the release', () => {
  it('tells of one at the handler, above and below @Locked', async () => {
    @Controller()
    class Sales {
      @Get('above')
      @UseInterceptors(Envelope, TransactionInterceptor)
      @Locked('stock')
      async above() {}

      @Post('below')
      @Locked('stock')
      @UseInterceptors(new TransactionInterceptor())
      async below() {}

      @Get('unlocked')
      @UseInterceptors(TransactionInterceptor)
      async unlocked() {}
    }

    expect(await warningsOf(Sales)).toEqual([warning('Sales.above'), warning('Sales.below')]);
  });

  it('tells of one at the controller', async () => {
    @Controller()
    @UseInterceptors(TransactionInterceptor)
    class Sales {
      @Post()
      @Locked('stock')
      async sell() {}
    }

    expect(await warningsOf(Sales)).toEqual([warning('Sales.sell')]);
  });

  it('keeps quiet where there is none', async () => {
    @Controller()
    @UseInterceptors(Envelope)
    class Sales {
      @Post()
      @Locked('stock')
      async sell() {}
    }

    expect(await warningsOf(Sales)).toEqual([]);
  });
});
