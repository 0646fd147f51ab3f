// What the scenario of every client stands on: the gateway behind a network that can be cut, and a shop whose orders change.
import assert from 'node:assert/strict';
import net from 'node:net';

export const { GATEWAY, TOKEN } = process.env;
export const authorization = `Bearer ${TOKEN}`;

export const PRODUCT = 'query Product($id: ID!) { product(id: $id) { id name availableQuantity } }';
export const PLACE = `mutation Place($input: CreateOrderInput!) {
  createOrder(input: $input) { order { id status version cursor } userErrors { code message } }
}`;
export const UPDATES = `subscription Updates($orderId: ID, $after: String) {
  orderUpdated(orderId: $orderId, after: $after) { cursor version order { id version shippingAddress } }
}`;
const CHANGE = `mutation Change($input: UpdateOrderInput!) {
  updateOrder(input: $input) { order { version } userErrors { code message } }
}`;

const WAIT_LIMIT_MS = 60_000;

// The way to the gateway, for one client.
export class Network {
  static async open(test) {
    const network = new Network();
    network.server = net.createServer((socket) => network.accept(socket));
    await new Promise((listening) => network.server.listen(0, '127.0.0.1', listening));
    network.address = `127.0.0.1:${network.server.address().port}`;
    test.after(() => network.close());
    return network;
  }

  held = [];
  open = new Set();
  isUp = true;

  get http() {
    return `http://${this.address}/graphql`;
  }

  get ws() {
    return `ws://${this.address}/graphql`;
  }

  accept(socket) {
    this.open.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.open.delete(socket));
    if (this.isUp) {
      this.connect(socket);
    } else {
      this.held.push(socket);
    }
  }

  connect(socket) {
    const [host, port] = GATEWAY.split(':');
    const upstream = net.connect(Number(port), host);
    upstream.on('error', () => socket.destroy());
    upstream.once('close', () => socket.destroy());
    socket.once('close', () => upstream.destroy());
    socket.pipe(upstream).pipe(socket);
  }

  // Loses every connection; new ones get nowhere until `meanwhile` has run.
  async cut(meanwhile) {
    this.isUp = false;
    this.open.forEach((socket) => socket.destroy());
    await meanwhile();
    this.isUp = true;
    this.held.splice(0).forEach((socket) => this.connect(socket));
  }

  close() {
    this.open.forEach((socket) => socket.destroy());
    this.server.close();
  }
}

// Sends a document past the client.
export async function execute(query, variables) {
  const response = await fetch(`http://${GATEWAY}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

export function anOrderOf(productId = 'PROD01') {
  return { items: [{ productId, quantity: 1 }] };
}

// An order that was decided, which the shop can change.
export class ShopOrder {
  static async place(productId) {
    const { createOrder } = await execute(PLACE, { input: anOrderOf(productId) });
    return ShopOrder.placed(createOrder);
  }

  // The order of an answer to PLACE that a client received.
  static placed({ order, userErrors }) {
    assert.deepEqual(userErrors, []);
    assert.equal(order.status, 'PROCESSING');
    return Object.assign(new ShopOrder(), { id: order.id, version: order.version, cursor: order.cursor });
  }

  async change(times) {
    for (let left = times; left > 0; left -= 1) {
      const input = { id: this.id, shippingAddress: `${this.version + 1} Quay`, expectedVersion: this.version };
      const { updateOrder } = await execute(CHANGE, { input });
      assert.deepEqual(updateOrder.userErrors, []);
      this.version = updateOrder.order.version;
    }
  }
}

// What a client's subscription received.
export class Received {
  constructor(order) {
    this.from = order.version;
    this.cursor = order.cursor;
    this.versions = [];
    this.ended = null;
  }

  onUpdate({ cursor, version }) {
    this.cursor = cursor;
    this.versions.push(version);
  }

  onEnd(reason) {
    this.ended ??= reason ?? 'complete';
  }

  // Waits until every version up to this one has come, each once and in order.
  async upTo(version) {
    await eventually(() => this.ended !== null || this.versions.length >= version - this.from);
    assert.equal(this.ended, null, describe(this.ended));
    const expected = Array.from({ length: version - this.from }, (_, index) => this.from + 1 + index);
    assert.deepEqual(this.versions, expected);
  }
}

// Follows an order through `subscribe(received)`, which returns how to stop: at once, across a network that is cut while
// the order changes, and after it.
export async function followsAcrossACut(network, order, subscribe) {
  const received = new Received(order);
  const stop = subscribe(received);
  await order.change(2);
  await received.upTo(order.version);
  await network.cut(() => order.change(2));
  await order.change(1);
  await received.upTo(order.version);
  stop();
  await order.change(1);
  return received;
}

export async function eventually(condition) {
  const deadline = Date.now() + WAIT_LIMIT_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within a minute: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function describe(error) {
  return error?.message ?? error?.reason ?? JSON.stringify(error);
}

export function deferred() {
  let resolve;
  const promise = new Promise((resolved) => (resolve = resolved));
  return { promise, resolve };
}
