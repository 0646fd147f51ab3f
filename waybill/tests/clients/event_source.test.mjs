import assert from 'node:assert/strict';
import test from 'node:test';
import { open } from './chromium.mjs';
import { authorization, eventually, Network, ShopOrder } from './scenario.mjs';

const { ROUTED } = process.env;

// A browser's EventSource sends no header: the page signs in for it by a ticket, and the browser resumes by itself.
test('an EventSource follows, and resumes by itself after its connection was lost', { skip: ROUTED }, async (t) => {
  const network = await Network.open(t);
  const order = await ShopOrder.place('PROD01');
  const evaluate = await open(t, `http://${network.address}/`);
  await eventually(() => evaluate('document.readyState === "complete" && location.pathname === "/"'));
  await evaluate(`(async () => {
    window.versions = [];
    window.opened = 0;
    const headers = { authorization: ${JSON.stringify(authorization)} };
    const { url } = await (await fetch('/graphql/tickets', { method: 'POST', headers })).json();
    const query = 'subscription ($id: ID) { orderUpdated(orderId: $id) { version } }';
    const parameters = new URLSearchParams({ query, variables: '{"id":"${order.id}"}' });
    const events = new EventSource(url + '?' + parameters);
    events.onopen = () => { window.opened += 1; };
    events.addEventListener('next', ({ data }) => window.versions.push(JSON.parse(data).data.orderUpdated.version));
  })()`);
  await eventually(async () => (await evaluate('window.opened')) === 1);
  const seesAll = async (count) => {
    await eventually(async () => (await evaluate('window.versions.length')) >= count);
    const expected = Array.from({ length: count }, (_, index) => order.version - count + 1 + index);
    assert.deepEqual(await evaluate('window.versions'), expected);
  };
  await order.change(2);
  await seesAll(2);
  await network.cut(() => order.change(2));
  await order.change(1);
  await seesAll(5);
  assert.ok((await evaluate('window.opened')) > 1);
});
