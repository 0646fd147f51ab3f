import assert from 'node:assert/strict';
import test from 'node:test';
import { newestOrders } from './newest_orders.mjs';

const order = (id, version, more) => ({ __typename: 'Order', id, version, ...more });

test('an older order is replaced by the newest known, wherever it stands', () => {
  const keepNewest = newestOrders();
  const update = { orderUpdated: { order: order('1', 3, { status: 'SHIPPED' }) } };
  assert.deepEqual(keepNewest(update), update);
  const answer = { orders: { nodes: [order('1', 2, { status: 'PROCESSING', note: 'a' }), order('2', 1)], count: 2 } };
  assert.deepEqual(keepNewest(answer).orders.nodes, [order('1', 3, { status: 'SHIPPED', note: 'a' }), order('2', 1)]);
  const newer = { order: order('1', 4, { status: 'DELIVERED' }) };
  assert.deepEqual(keepNewest(newer), newer);
  assert.deepEqual(keepNewest(update).orderUpdated.order.status, 'DELIVERED');
});

test('as many orders are remembered as was said, and other values stay as they are', () => {
  const keepNewest = newestOrders(1);
  keepNewest([order('1', 5), order('2', 5)]);
  assert.deepEqual(keepNewest([order('1', 4)]), [order('1', 4)]);
  for (const value of [null, undefined, 1, 'a', [], { id: '1', version: 1 }]) {
    assert.deepEqual(keepNewest(value), value);
  }
});
