import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from 'graphql-sse';
import { anOrderOf, authorization, followsAcrossACut, Network, PLACE, PRODUCT, ShopOrder, UPDATES } from './scenario.mjs';

test('graphql-sse queries, orders, follows, and resumes after its connection was lost', async (t) => {
  const network = await Network.open(t);
  const client = createClient({ url: network.http, headers: { authorization }, retryAttempts: Infinity });
  t.after(() => client.dispose());
  const only = async (query, variables) => {
    const results = [];
    for await (const result of client.iterate({ query, variables })) {
      results.push(result);
    }
    assert.equal(results.length, 1);
    assert.equal(results[0].errors, undefined);
    return results[0].data;
  };

  const { product } = await only(PRODUCT, { id: 'PROD01' });
  assert.equal(product.id, 'PROD01');
  const order = ShopOrder.placed((await only(PLACE, { input: anOrderOf() })).createOrder);
  await followsAcrossACut(network, order, (received) => {
    const variables = {
      orderId: order.id,
      get after() {
        return received.cursor;
      },
    };
    return client.subscribe({ query: UPDATES, variables }, {
      next: ({ data }) => received.onUpdate(data.orderUpdated),
      error: (error) => received.onEnd(error),
      complete: () => received.onEnd(),
    });
  });
});
