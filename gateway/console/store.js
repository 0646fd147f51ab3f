// The newest known version of each order. Answers and updates come in any order: the greater version wins, and a deleted
// order stays deleted.
import { emitter } from './emitter.js';

// Those that changed longest ago are forgotten first.
const MAX_ORDERS = 20_000;
const [orders, deleted] = [new Map(), new Map()];

// Each as { id, order, previous, isLive }: no order means deleted, isLive that it happened just now.
export const changes = emitter();
export const get = (id) => orders.get(id);
export const isDeleted = (id) => deleted.has(id);

// Returns the newest known version; null if the order was deleted.
export function merge(order, isLive = false) {
  const { id } = order;
  if (deleted.has(id)) return null;
  const previous = orders.get(id);
  if (previous?.version >= order.version) return previous;
  put(orders, id, order);
  changes.emit({ id, order, previous, isLive });
  return order;
}

export function remove(id) {
  put(deleted, id, true);
  orders.delete(id);
  changes.emit({ id, order: null, isLive: true });
}

export function clear() {
  orders.clear();
  deleted.clear();
}

function put(map, id, value) {
  map.delete(id);
  map.set(id, value);
  if (map.size > MAX_ORDERS) map.delete(map.keys().next().value);
}
