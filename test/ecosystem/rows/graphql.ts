import { ApolloDriver, type ApolloDriverConfig } from '@nestjs/apollo';
import { Args, GraphQLModule, Int, Query, Resolver } from '@nestjs/graphql';
import { Locked } from 'nestjs-lock';
import assert from 'node:assert/strict';
import { get } from '../support/http.js';
import { row } from '../support/row.js';

await row({
  packages: ['@nestjs/graphql', '@nestjs/apollo'],
  beside: '`@Query`',
  async run(scene) {
    @Resolver()
    class Shows {
      @scene.inOrder(Locked('show:{0}'), Query(() => String))
      async show(@Args('id', { type: () => Int }) id: number) {
        return scene.body(`show ${id}`);
      }
    }

    const graphql = GraphQLModule.forRoot<ApolloDriverConfig>({
      driver: ApolloDriver,
      autoSchemaFile: true,
      csrfPrevention: false, // lets a plain GET through
    });
    const app = await scene.http({ imports: [graphql], providers: [Shows] });
    const answers = await scene.calls(() => get(app, '/graphql?query={show(id:7)}'));
    const answer = { status: 200, body: { data: { show: 'show 7' } } };
    assert.deepEqual(answers, Array(4).fill(answer));
  },
});
