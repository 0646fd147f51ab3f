// Demo orders, so that a newcomer sees the system move.
import { request } from './api.js';
import { create, randomKey } from './basket.js';
import { PRODUCTS } from './documents.js';

const AT_ONCE = 4;
const any = (list) => list[Math.floor(Math.random() * list.length)];

// Places `count` orders for the viewer, and calls onPlaced(order) for each; throws what ends it early.
export async function placeDemoOrders(count, onPlaced) {
  const { data } = await request(PRODUCTS, {});
  const products = data.products.nodes.filter(({ availableQuantity }) => availableQuantity > 0).map(({ id }) => id);
  let left = products.length ? count : 0;
  async function work() {
    while (left > 0) {
      left -= 1;
      const { order } = await create({
        items: [...new Set([any(products), any(products)])].map((productId) => ({
          productId,
          quantity: 1 + Math.floor(Math.random() * 3),
        })),
        shippingAddress: `[demo] ${1 + Math.floor(Math.random() * 99)} Orchard Road, Springfield`,
        idempotencyKey: `demo-${randomKey()}`,
      });
      onPlaced(order);
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}
