import test from 'node:test';
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { RetryLink } from '@apollo/client/link/retry';
import { authorization, followsAcrossACut, Network, ShopOrder, UPDATES } from './scenario.mjs';

// A router would have to speak it itself.
const { ROUTED } = process.env;

test('Apollo Client follows by a multipart subscription, and resumes after its connection was lost', { skip: ROUTED }, async (t) => {
  const network = await Network.open(t);
  let received;
  const resume = new ApolloLink((operation, forward) => {
    operation.variables = { ...operation.variables, after: received.cursor };
    return forward(operation);
  });
  const retry = new RetryLink({ delay: { initial: 50, max: 500 }, attempts: { max: Infinity } });
  const http = new HttpLink({ uri: network.http, headers: { authorization } });
  const client = new ApolloClient({ link: ApolloLink.from([retry, resume, http]), cache: new InMemoryCache() });
  t.after(() => client.stop());
  const order = await ShopOrder.place('PROD01');
  await followsAcrossACut(network, order, (receiver) => {
    received = receiver;
    const variables = { orderId: order.id, after: order.cursor };
    const subscription = client.subscribe({ query: gql(UPDATES), variables }).subscribe({
      next: ({ data, error }) => (data ? received.onUpdate(data.orderUpdated) : received.onEnd(error)),
      error: (error) => received.onEnd(error),
      complete: () => received.onEnd(),
    });
    return () => subscription.unsubscribe();
  });
});
