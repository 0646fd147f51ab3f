import assert from 'node:assert/strict';
import test from 'node:test';
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { anOrderOf, authorization, followsAcrossACut, Network, PLACE, PRODUCT, ShopOrder, UPDATES } from './scenario.mjs';

test('urql queries, orders, follows, and resumes after its connection was lost', async (t) => {
  const network = await Network.open(t);
  let follower;
  const socket = createClient({
    url: network.ws,
    webSocketImpl: WebSocket,
    connectionParams: { authorization },
    retryAttempts: Infinity,
    shouldRetry: () => true,
    jsonMessageReplacer: (key, value) => (key === 'after' && follower ? follower.cursor : value),
  });
  t.after(() => socket.dispose());
  const client = new Client({
    url: network.http,
    fetchOptions: { headers: { authorization } },
    preferGetMethod: false,
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
  const data = ({ data, error }) => {
    assert.equal(error, undefined, error?.message);
    return data;
  };

  const { product } = data(await client.query(PRODUCT, { id: 'PROD01' }));
  assert.equal(product.id, 'PROD01');
  const byGet = await client.query(PRODUCT, { id: 'PROD02' }, { preferGetMethod: 'force' });
  assert.equal(data(byGet).product.id, 'PROD02');
  const order = ShopOrder.placed(data(await client.mutation(PLACE, { input: anOrderOf() })).createOrder);
  await followsAcrossACut(network, order, (received) => {
    follower = received;
    const updates = client.subscription(UPDATES, { orderId: order.id, after: order.cursor });
    return updates.subscribe(({ data, error }) => {
      if (error) {
        received.onEnd(error);
      } else {
        received.onUpdate(data.orderUpdated);
      }
    }).unsubscribe;
  });
});
