// Keeps the newest version of each order, whatever came last: answers and updates overtake one another. Returns a function
// that replaces older orders in a result, for a client whose cache would keep what was written last. It compares orders
// whose selection has __typename, id and version.
export function newestOrders(remembered = 10_000) {
  const newest = new Map();

  function newestOf(order) {
    const known = newest.get(order.id);
    if (known?.version > order.version) {
      return { ...order, ...known };
    }
    newest.delete(order.id);
    newest.set(order.id, known?.version === order.version ? { ...known, ...order } : order);
    if (newest.size > remembered) {
      newest.delete(newest.keys().next().value);
    }
    return order;
  }

  return function walk(value) {
    if (Array.isArray(value)) {
      return value.map(walk);
    }
    if (value === null || typeof value !== 'object') {
      return value;
    }
    const object = Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, walk(entry)]));
    return object.__typename === 'Order' && object.version !== undefined ? newestOf(object) : object;
  };
}
