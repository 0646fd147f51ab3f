// What an application writes against the generated types; the compiler has to take each line, and refuse those marked.
import assert from 'node:assert/strict';
import { print } from 'graphql';
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { TypedNodeDocument, TypedOrderDocument, TypedPlaceDocument, TypedUpdatesDocument } from './generated.mjs';
import type { OrderStatus, TypedUpdatesSubscription } from './generated.mjs';

export interface Shop {
  http: string;
  ws: string;
  authorization: string;
}

export async function execute<Data, Variables>(
  { http, authorization }: Shop,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await fetch(http, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = (await response.json()) as { data: Data; errors?: unknown };
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

// Places an order and reads it.
export async function placesAndReads(shop: Shop) {
  const input = { items: [{ productId: 'PROD01', quantity: 1 }] };
  const { createOrder } = await execute(shop, TypedPlaceDocument, { input });
  const placed = createOrder?.order;
  assert.ok(placed);
  const { order } = await execute(shop, TypedOrderDocument, { id: placed.id });
  assert.ok(order);
  const status: OrderStatus = order.status;
  const quantities: number[] = order.lineItems.map(({ quantity }) => quantity);
  const amount: string | undefined = order.totalAmount?.amount;
  const created: string = order.createdAt;
  assert.deepEqual([status, quantities, typeof amount], ['PROCESSING', [1], 'string']);
  assert.ok(Date.parse(created));
  const { node } = await execute(shop, TypedNodeDocument, { id: placed.id });
  assert.ok(node?.__typename === 'Order');
  const found: OrderStatus = node.status;
  assert.equal(found, 'PROCESSING');
  return placed;
}

type Update = TypedUpdatesSubscription['orderUpdated'];

export interface Received {
  cursor: string;
  onUpdate(update: Update): void;
  onEnd(reason?: unknown): void;
}

// Follows an order; returns how to stop.
export function follows({ ws, authorization }: Shop, orderId: string, received: Received): () => void {
  const client = createClient({
    url: ws,
    webSocketImpl: WebSocket,
    connectionParams: { authorization },
    retryAttempts: Infinity,
    shouldRetry: () => true,
  });
  const variables = {
    orderId,
    get after() {
      return received.cursor;
    },
  };
  return client.subscribe<TypedUpdatesSubscription>({ query: print(TypedUpdatesDocument), variables }, {
    next: ({ data }) => data && received.onUpdate(data.orderUpdated),
    error: (error) => received.onEnd(error),
    complete: () => received.onEnd(),
  });
}

// Nothing calls this.
export async function isRefused(shop: Shop) {
  // @ts-expect-error: the id is required
  await execute(shop, TypedOrderDocument, {});
  // @ts-expect-error: a quantity is a number
  await execute(shop, TypedPlaceDocument, { input: { items: [{ productId: 'PROD01', quantity: '1' }] } });
  const { order } = await execute(shop, TypedOrderDocument, { id: '1' });
  // @ts-expect-error: an order may be absent
  order.status;
  // @ts-expect-error: there is no such status
  const isLost = order?.status === 'LOST';
  // @ts-expect-error: an amount is no number
  const amount: number | undefined = order?.totalAmount?.amount;
  return [isLost, amount];
}
