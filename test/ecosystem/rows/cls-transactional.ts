import { Injectable } from '@nestjs/common';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { ClsPluginTransactional, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ClsModule } from 'nestjs-cls';
import { Locked } from 'nestjs-lock';
import { row } from '../support/row.js';
import { countInTransactions, increment } from '../support/transactions.js';

await row({
  packages: ['@nestjs-cls/transactional', '@nestjs-cls/transactional-adapter-typeorm', 'typeorm'],
  beside: '`@Transactional`',
  wraps: 'the commit',
  run: (scene) =>
    countInTransactions(scene, async (database) => {
      @Injectable()
      class Counter {
        constructor(private readonly host: TransactionHost<TransactionalAdapterTypeOrm>) {}

        @scene.inOrder(Locked('counter'), Transactional())
        async increment(fails: boolean) {
          await increment(scene, (sql) => this.host.tx.query(sql), fails);
        }
      }

      const plugin = new ClsPluginTransactional({
        imports: [TypeOrmModule],
        adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
      });
      const app = await scene.http({
        imports: [
          TypeOrmModule.forRoot({ type: 'postgres', ...database, username: database.user }),
          ClsModule.forRoot({ plugins: [plugin] }),
        ],
        providers: [Counter],
      });
      const counter = app.get(Counter);
      return (fails) => counter.increment(fails);
    }),
});
