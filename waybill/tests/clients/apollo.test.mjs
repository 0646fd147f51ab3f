import assert from 'node:assert/strict';
import test from 'node:test';
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import { concatMap, map } from 'rxjs';
import WebSocket from 'ws';
import { newestOrders } from './newest_orders.mjs';
import {
  anOrderOf,
  authorization,
  deferred,
  eventually,
  followsAcrossACut,
  Network,
  PLACE,
  PRODUCT,
  ShopOrder,
  UPDATES,
} from './scenario.mjs';

const ORDER = 'query Order($id: ID!) { order(id: $id) { id version shippingAddress } }';
const ORDERS = `query Orders($productId: ID, $first: Int, $after: String) {
  orders(productId: $productId, first: $first, after: $after) {
    edges { cursor node { id version status } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`;

const typePolicies = {
  Query: {
    fields: {
      orders: relayStylePagination(['customerId', 'allCustomers', 'statuses', 'productId', 'trackingNumber']),
      order: (order, { args, toReference }) => order ?? toReference({ __typename: 'Order', id: args.id }),
    },
  },
};

async function open(t, options = {}) {
  const network = await Network.open(t);
  const keepNewest = newestOrders();
  const socket = createClient({
    url: network.ws,
    webSocketImpl: WebSocket,
    connectionParams: { authorization },
    retryAttempts: Infinity,
    shouldRetry: () => true,
    jsonMessageReplacer: (key, value) => (key === 'after' && options.follower ? options.follower.cursor : value),
  });
  t.after(() => socket.dispose());
  const http = new HttpLink({ uri: network.http, headers: { authorization } });
  const isSubscription = ({ operationType }) => operationType === 'subscription';
  const newest = new ApolloLink((operation, forward) =>
    forward(operation).pipe(map((result) => ({ ...result, data: keepNewest(result.data) }))),
  );
  const holding = new ApolloLink((operation, forward) =>
    forward(operation).pipe(
      concatMap(async (result) => {
        const { onHeld, release } = operation.getContext();
        onHeld?.();
        await release;
        return result;
      }),
    ),
  );
  const link = ApolloLink.from([newest, holding, ApolloLink.split(isSubscription, new GraphQLWsLink(socket), http)]);
  const client = new ApolloClient({ link, cache: new InMemoryCache({ typePolicies }) });
  t.after(() => client.stop());
  return { network, client };
}

test('Apollo Client queries, orders, follows, and resumes after its connection was lost', async (t) => {
  const options = {};
  const { network, client } = await open(t, options);
  const { data } = await client.query({ query: gql(PRODUCT), variables: { id: 'PROD01' } });
  assert.equal(data.product.id, 'PROD01');
  const placed = await client.mutate({ mutation: gql(PLACE), variables: { input: anOrderOf() } });
  const order = ShopOrder.placed(placed.data.createOrder);

  const shown = [];
  const watched = client.watchQuery({ query: gql(ORDER), variables: { id: order.id } });
  const watching = watched.subscribe(({ data }) => data?.order?.shippingAddress && shown.push(data.order));
  await followsAcrossACut(network, order, (received) => {
    options.follower = received;
    const updates = client.subscribe({ query: gql(UPDATES), variables: { orderId: order.id, after: order.cursor } });
    const subscription = updates.subscribe({
      next: ({ data, error }) => (data ? received.onUpdate(data.orderUpdated) : received.onEnd(error)),
      error: (error) => received.onEnd(error),
      complete: () => received.onEnd(),
    });
    return () => subscription.unsubscribe();
  });
  // The last change came after the client had stopped.
  const seen = order.version - 1;
  await eventually(() => shown.at(-1)?.version === seen);
  assert.equal(shown.at(-1).shippingAddress, `${seen} Quay`, 'an update of the cached order is shown');
  watching.unsubscribe();
});

test('Apollo Client pages through a connection and keeps the newest version of an order', async (t) => {
  const { client } = await open(t);
  const placed = [];
  for (let count = 0; count < 5; count += 1) {
    placed.unshift(await ShopOrder.place('PROD05'));
  }
  const variables = { productId: 'PROD05', first: 2 };
  const pages = client.watchQuery({ query: gql(ORDERS), variables });
  const ids = (data) => data.orders.edges.map(({ node }) => node.id);
  const reading = pages.subscribe(() => {});
  await eventually(() => pages.getCurrentResult().data?.orders);
  let page = pages.getCurrentResult().data.orders.pageInfo;
  while (page.hasNextPage) {
    const { data } = await pages.fetchMore({ variables: { after: page.endCursor } });
    assert.notEqual(data.orders.pageInfo.endCursor, page.endCursor);
    page = data.orders.pageInfo;
  }
  await eventually(() => pages.getCurrentResult().data.orders.pageInfo.hasNextPage === false);
  const read = ids(pages.getCurrentResult().data);
  assert.deepEqual(read.slice(0, 5), placed.map(({ id }) => id));
  assert.equal(new Set(read).size, read.length);
  reading.unsubscribe();

  // An answer that comes after a newer one.
  const [order] = placed;
  const query = { query: gql(ORDER), variables: { id: order.id }, fetchPolicy: 'network-only' };
  const { promise: held, resolve: onHeld } = deferred();
  const { promise: release, resolve: deliver } = deferred();
  const late = client.query({ ...query, context: { queryDeduplication: false, onHeld, release } });
  await held;
  await order.change(1);
  await client.query({ ...query, context: { queryDeduplication: false } });
  deliver();
  assert.equal((await late).data.order.version, order.version);
  const cached = client.cache.readQuery({ query: query.query, variables: query.variables }).order;
  assert.equal(cached.version, order.version);
  assert.equal(cached.shippingAddress, `${order.version} Quay`);
});
