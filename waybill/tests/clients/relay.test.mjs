import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'node:test';
import { createClient } from 'graphql-ws';
import compiler from 'relay-compiler';
import relay from 'relay-runtime';
import WebSocket from 'ws';
import { newestOrders } from './newest_orders.mjs';
import { anOrderOf, authorization, deferred, followsAcrossACut, Network, ShopOrder } from './scenario.mjs';

const { Environment, RecordSource, Store, commitMutation, fetchQuery, requestSubscription } = relay;
const { createOperationDescriptor, getSingularSelector, getRequest } = relay;
const require = createRequire(import.meta.url);

copyFileSync(process.env.SCHEMA, 'relay/schema.graphql');
mkdirSync('relay/artifacts', { recursive: true });
execFileSync(compiler, ['relay.config.json'], { cwd: 'relay', stdio: 'pipe' });
const artifact = (name) => require(`./relay/artifacts/${name}.graphql.js`);

async function open(t) {
  const network = await Network.open(t);
  const socket = createClient({
    url: network.ws,
    webSocketImpl: WebSocket,
    connectionParams: { authorization },
    retryAttempts: Infinity,
    shouldRetry: () => true,
  });
  t.after(() => socket.dispose());
  const keepNewest = newestOrders();
  const follower = {};
  const fetchOperation = async ({ text: query }, variables, { metadata }) => {
    const response = await fetch(network.http, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ query, variables }),
    });
    const result = await response.json();
    await metadata?.hold();
    return keepNewest(result);
  };
  const subscribeToOperation = ({ text: query }, variables) =>
    relay.Observable.create((sink) => {
      const resumed = {
        ...variables,
        get after() {
          return follower.received.cursor;
        },
      };
      const next = (result) => sink.next(keepNewest(result));
      return socket.subscribe({ query, variables: resumed }, { ...sink, next });
    });
  const environment = new Environment({
    network: relay.Network.create(fetchOperation, subscribeToOperation),
    store: new Store(new RecordSource()),
    // A product and a customer may have the same id.
    getDataID: ({ id }, type) => (id === undefined ? undefined : `${type}:${id}`),
  });
  return { network, environment, follower };
}

const read = (environment, query, variables) => {
  const operation = createOperationDescriptor(getRequest(query), variables);
  return environment.lookup(operation.fragment).data;
};

test('Relay queries, orders, follows, and resumes after its connection was lost', async (t) => {
  const { network, environment, follower } = await open(t);
  const place = () =>
    new Promise((onCompleted, onError) =>
      commitMutation(environment, {
        mutation: artifact('ShopPlaceMutation'),
        variables: { input: anOrderOf() },
        onCompleted,
        onError,
      }),
    );
  const order = ShopOrder.placed((await place()).createOrder);
  const received = await followsAcrossACut(network, order, (received) => {
    follower.received = received;
    const { dispose } = requestSubscription(environment, {
      subscription: artifact('ShopUpdatesSubscription'),
      variables: { orderId: order.id, after: order.cursor },
      onNext: ({ orderUpdated }) => received.onUpdate(orderUpdated),
      onError: (error) => received.onEnd(error),
      onCompleted: () => received.onEnd(),
    });
    return dispose;
  });
  const stored = read(environment, artifact('ShopOrderQuery'), { id: order.id });
  assert.equal(stored.order, undefined, 'this field was not read');
  const fetched = await fetchQuery(environment, artifact('ShopOrderQuery'), { id: order.id }).toPromise();
  assert.equal(fetched.order.version, order.version);
  assert.equal(received.versions.length, 5);
});

test('Relay finds each type of node by its id, and refetches a fragment by it', async (t) => {
  const { environment } = await open(t);
  const order = await ShopOrder.place('PROD06');
  for (const [id, type] of [[order.id, 'Order'], ['PROD06', 'Product'], ['CUST01', 'Customer']]) {
    const { node } = await fetchQuery(environment, artifact('ShopNodeQuery'), { id }).toPromise();
    assert.deepEqual([node.__typename, node.id], [type, id]);
  }
  const refetch = artifact('ShopOrderRefetchQuery');
  const { identifierInfo, operation } = artifact('Shop_order').metadata.refetch;
  assert.deepEqual(identifierInfo, { identifierField: 'id', identifierQueryVariableName: 'id' });
  assert.equal(operation, refetch);
  const { node } = await fetchQuery(environment, refetch, { id: order.id }).toPromise();
  const selector = getSingularSelector(artifact('Shop_order'), node);
  const { data } = environment.lookup(selector);
  assert.equal(data.version, order.version);
  assert.equal(data.lineItems[0].product.id, 'PROD06');
});

test('Relay pages through a connection and keeps the newest version of an order', async (t) => {
  const { environment } = await open(t);
  const placed = [];
  for (let count = 0; count < 5; count += 1) {
    placed.unshift(await ShopOrder.place('PROD07'));
  }
  const variables = { productId: 'PROD07' };
  const query = artifact('ShopOrdersQuery');
  const root = await fetchQuery(environment, query, variables).toPromise();
  const selector = getSingularSelector(artifact('Shop_orders'), root);
  environment.retain(createOperationDescriptor(getRequest(query), variables));
  const { orders } = environment.lookup(selector).data;
  assert.deepEqual(orders.edges.map(({ node }) => node.id), placed.slice(0, 2).map(({ id }) => id));
  let page = orders.pageInfo;
  while (page.hasNextPage) {
    const next = { ...variables, after: page.endCursor, count: 2 };
    await fetchQuery(environment, artifact('ShopOrdersPageQuery'), next).toPromise();
    page = environment.lookup(selector).data.orders.pageInfo;
  }
  const read = environment.lookup(selector).data.orders.edges.map(({ node }) => node.id);
  assert.deepEqual(read.slice(0, 5), placed.map(({ id }) => id));
  assert.equal(new Set(read).size, read.length);

  // An answer that comes after a newer one.
  const [order] = placed;
  const ofOrder = { id: order.id };
  const { promise: release, resolve: deliver } = deferred();
  const { promise: held, resolve: onHeld } = deferred();
  const hold = () => (onHeld(), release);
  const networkCacheConfig = { metadata: { hold } };
  const late = fetchQuery(environment, artifact('ShopOrderQuery'), ofOrder, { networkCacheConfig }).toPromise();
  await held;
  await order.change(1);
  await fetchQuery(environment, artifact('ShopOrderRefetchQuery'), ofOrder).toPromise();
  deliver();
  assert.equal((await late).order.version, order.version);
  const { node } = environment.lookup(selector).data.orders.edges[0];
  assert.deepEqual([node.id, node.version], [order.id, order.version]);
});
