import { Transactional } from '@mikro-orm/decorators/legacy';
import { MikroOrmModule } from '@mikro-orm/nestjs';
import { defineConfig, EntityManager, EntitySchema } from '@mikro-orm/postgresql';
import { Injectable } from '@nestjs/common';
import { Locked } from 'nestjs-lock';
import { row } from '../support/row.js';
import { countInTransactions, increment } from '../support/transactions.js';

/** MikroORM does not start without an entity. */
const Counted = new EntitySchema({
  name: 'Counted',
  properties: { id: { type: 'number', primary: true } },
});

await row({
  packages: ['@mikro-orm/nestjs', '@mikro-orm/core'],
  beside: '`@Transactional`',
  wraps: 'the commit',
  note: 'asks for Node 22',
  run: (scene) =>
    countInTransactions(scene, async ({ database: dbName, ...server }) => {
      @Injectable()
      class Counter {
        constructor(private readonly em: EntityManager) {}

        @scene.inOrder(Locked('counter'), Transactional())
        async increment(fails: boolean) {
          await increment(scene, (sql) => this.em.execute(sql), fails);
        }
      }

      const options = defineConfig({ ...server, dbName, entities: [Counted] });
      const app = await scene.http({
        imports: [MikroOrmModule.forRoot({ ...options, registerRequestContext: false })],
        providers: [Counter],
      });
      const counter = app.get(Counter);
      return (fails) => counter.increment(fails);
    }),
});
