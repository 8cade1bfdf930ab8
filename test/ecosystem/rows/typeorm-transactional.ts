import { Injectable } from '@nestjs/common';
import { InjectDataSource, TypeOrmModule } from '@nestjs/typeorm';
import { Locked } from 'nestjs-lock';
import { DataSource } from 'typeorm';
import {
  addTransactionalDataSource,
  deleteDataSourceByName,
  initializeTransactionalContext,
  Transactional,
} from 'typeorm-transactional';
import { row } from '../support/row.js';
import { countInTransactions, increment } from '../support/transactions.js';

initializeTransactionalContext();

await row({
  packages: ['typeorm-transactional', 'typeorm'],
  beside: '`@Transactional`',
  wraps: 'the commit',
  run: (scene) =>
    countInTransactions(scene, async (database) => {
      @Injectable()
      class Counter {
        constructor(@InjectDataSource() private readonly source: DataSource) {}

        @scene.inOrder(Locked('counter'), Transactional())
        async increment(fails: boolean) {
          await increment(scene, (sql) => this.source.manager.query(sql), fails);
        }
      }

      scene.closeAtTheEnd(() => deleteDataSourceByName('default'));
      const typeorm = TypeOrmModule.forRootAsync({
        useFactory: () => ({ type: 'postgres', ...database, username: database.user }),
        dataSourceFactory: async (options) => {
          const source = await new DataSource(options!).initialize();
          return addTransactionalDataSource(source);
        },
      });
      const app = await scene.http({ imports: [typeorm], providers: [Counter] });
      const counter = app.get(Counter);
      return (fails) => counter.increment(fails);
    }),
});
