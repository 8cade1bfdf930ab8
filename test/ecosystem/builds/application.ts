// A small application that compilers, bundlers and test runners are tried on. What it injects is named:
// esbuild writes no types for Nest to read.
import { Controller, Get, Module, Param } from '@nestjs/common';
import { InjectLockService, Locked, LockModule, LockService } from 'nestjs-lock';
import { setImmediate as turn } from 'node:timers/promises';

@Controller()
export class Shows {
  private inside = 0;

  constructor(@InjectLockService() private readonly locks: LockService) {}

  @Locked('show:{0}')
  @Get('above/:id')
  async above(@Param('id') id: string) {
    return this.body(id);
  }

  @Get('below/:id')
  @Locked('show:{0}')
  async below(@Param('id') id: string) {
    return this.body(id);
  }

  /** What a body sees: its lock's key, and how many are inside with it. */
  private async body(id: string) {
    this.inside++;
    for (let turns = 0; turns < 5; turns++) await turn();
    const seen = { key: this.locks.current()?.key, inside: this.inside };
    this.inside--;
    return { id, ...seen };
  }
}

@Module({ imports: [LockModule.forRoot()], controllers: [Shows] })
export class Application {}

/** What each request should answer. */
export const answer = (id: string) => ({ id, key: `show:${id}`, inside: 1 });
