import assert from 'node:assert/strict';
import test from 'node:test';
import { createClient } from 'graphql-sse';
import { route } from './router.mjs';

const { GATEWAY, TOKEN, OTHER_TOKEN } = process.env;
const url = `http://${GATEWAY}/graphql`;
const authorization = (token) => ({ authorization: `Bearer ${token}` });

async function execute(at, query, variables, token = TOKEN) {
  const response = await fetch(at, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization(token) },
    body: JSON.stringify({ query, variables }),
  });
  return response.json();
}

async function executed(...request) {
  const { data, errors } = await execute(...request);
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

const PLACE = `mutation ($input: CreateOrderInput!) {
  createOrder(input: $input) { order { id version cursor status } userErrors { code } }
}`;
const CHANGE = `mutation ($input: UpdateOrderInput!) {
  updateOrder(input: $input) { order { version } userErrors { code } }
}`;

async function place(at) {
  const { createOrder } = await executed(at, PLACE, { input: { items: [{ productId: 'PROD01', quantity: 1 }] } });
  assert.deepEqual(createOrder.userErrors, []);
  return createOrder.order;
}

async function change(order, version) {
  const input = { id: order.id, shippingAddress: `${version} Quay`, expectedVersion: version - 1 };
  const { updateOrder } = await executed(url, CHANGE, { input });
  assert.deepEqual([updateOrder.userErrors, updateOrder.order.version], [[], version]);
}

test('a router in front of the gateway and another subgraph', async (t) => {
  const { url: router, end } = await route(GATEWAY);
  t.after(end);

  await t.test('an order’s products have what the other subgraph says of them', async () => {
    const order = await place(router);
    const query = `query ($id: ID!) {
      order(id: $id) { status note lineItems { product { name availableQuantity reviews { text } } } }
    }`;
    const found = await executed(router, query, { id: order.id });
    assert.equal(found.order.status, 'PROCESSING');
    assert.equal(found.order.note, `Note on ${order.id}`);
    const [{ product }] = found.order.lineItems;
    assert.deepEqual(product.reviews, [{ text: 'Review PROD01-1' }]);
    assert.ok(product.name);
  });

  await t.test('what the other subgraph names is resolved by the gateway, within the caller’s reach', async () => {
    const query = '{ review(id: "PROD02-7") { text product { id name unitPrice { amount } } } }';
    const { review } = await executed(router, query, {});
    assert.equal(review.product.id, 'PROD02');
    assert.match(review.product.unitPrice.amount, /^\d+\.\d\d$/u);

    const order = await place(router);
    const noted = 'query ($id: ID!) { noted(id: $id) { id note status } }';
    assert.equal((await executed(router, noted, { id: order.id })).noted.status, 'PROCESSING');
    const beyond = await execute(router, noted, { id: order.id }, OTHER_TOKEN);
    assert.equal(beyond.data?.noted?.status, undefined, JSON.stringify(beyond));
  });

  await t.test('a subscription through the router has what both subgraphs say', async () => {
    const order = await place(router);
    const client = createClient({ url: router, headers: authorization(TOKEN) });
    const query = `subscription ($after: String) {
      orderUpdated(after: $after) { version order { id note shippingAddress } }
    }`;
    const updates = client.iterate({ query, variables: { after: order.cursor } });
    for (let version = order.version + 1; version <= order.version + 3; version += 1) {
      await change(order, version);
      const { value } = await updates.next();
      assert.deepEqual(value, {
        data: {
          orderUpdated: {
            version,
            order: { id: order.id, note: `Note on ${order.id}`, shippingAddress: `${version} Quay` },
          },
        },
      });
    }
    await updates.return();
    client.dispose();
  });
});
