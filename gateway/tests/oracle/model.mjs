// The gateway's API over the same data as the gateway's tests have, as far as requests of the generator reach. A value
// that only the gateway's own rules decide, such as an input beyond its bounds, is Unmodelled.
export class Unmodelled extends Error {}

const CURSOR_ERROR = 'not a cursor of this list';
const ids = (list) => new Map(list.map((entry) => [entry.id, entry]));

// `data` is what the gateway answers for everything that it holds; `ANY` stands for what differs in each answer.
export function rootValue(data, ANY) {
  const products = data.products.edges;
  const productsById = ids(products.map(({ node }) => node));
  const me = { ...data.me, orders: (args) => connection(orders, only(args, PAGE, 'statuses')) };
  const orders = data.orders.edges.map(({ cursor, node }) => ({ cursor, node: order(node) }));
  const ordersById = ids(orders.map(({ node }) => node));

  function order(stored) {
    const lineItems = stored.lineItems.map((line) => ({
      ...line,
      product: () => productsById.get(line.productId) ?? null,
    }));
    return { ...stored, customer: () => me, lineItems };
  }

  function own(customerId) {
    if (customerId != null && customerId !== me.id) {
      throw new Error('another customer');
    }
  }

  // What was accepted and not decided yet.
  function pendingOrder({ items, shippingAddress = null }) {
    const lineItems = items.map(({ productId, quantity }) => ({
      id: ANY,
      productId,
      product: () => productsById.get(productId) ?? null,
      productName: null,
      quantity,
      unitPrice: null,
      totalPrice: null,
    }));
    return modelled({
      id: ANY,
      status: 'PENDING',
      customerId: me.id,
      customer: () => me,
      lineItems: lineItems.map(modelled),
      totalAmount: null,
      shippingAddress,
      trackingCompany: null,
      trackingNumber: null,
      rejection: null,
      version: 0,
      cursor: ANY,
      createdAt: data.now,
      updatedAt: data.now,
      history: [],
    });
  }

  // Every change is refused, so that the data stay.
  function change(input, ...texts) {
    only(input, 'id', 'expectedVersion', 'status', ...texts);
    const bounds = { shippingAddress: [500, true], trackingCompany: [100, false], trackingNumber: [100, false] };
    const fits = texts.every((name) => input[name] == null || isText(input[name], ...bounds[name]));
    if (!fits || !isOrderId(input.id) || input.expectedVersion < 0) {
      throw new Unmodelled();
    }
    return modelled({
      order: null,
      deletedOrderId: null,
      userErrors: [modelled({ code: 'ORDER_NOT_FOUND', message: 'for a reason', field: ['input', 'id'] })],
    });
  }

  const typed = (__typename, object) => object && { ...object, __typename };

  return {
    node: ({ id }) =>
      typed('Order', ordersById.get(id)) ??
      typed('Product', productsById.get(id)) ??
      typed('Customer', id === me.id ? me : undefined) ??
      null,
    me: () => me,
    customer: ({ id }) => {
      own(id);
      return me;
    },
    order: ({ id }) => ordersById.get(id) ?? null,
    orders: (args) => {
      own(only(args, 'customerId', 'allCustomers', 'statuses', PAGE).customerId);
      if (args.allCustomers) {
        throw new Unmodelled();
      }
      return connection(orders, args);
    },
    product: ({ id }) => productsById.get(id) ?? null,
    products: (args) => {
      const { search } = only(args, 'search', PAGE);
      const isBlank = search == null || search.trim() === '';
      if (!isBlank && !isText(search, 100, false)) {
        throw new Error('not a search');
      }
      const found = ({ node }) => isBlank || node.name.toLowerCase().includes(search.toLowerCase());
      return connection(products, args, found);
    },
    createOrder: ({ input, wait, ...others }) => {
      only(others);
      const { items, shippingAddress, idempotencyKey } = only(input, 'items', 'shippingAddress', 'idempotencyKey');
      const fits =
        items.length >= 1 &&
        items.length <= 100 &&
        new Set(items.map(({ productId }) => productId)).size === items.length &&
        items.every(({ productId, quantity }) => isOpaqueId(productId) && quantity >= 1 && quantity <= 10_000) &&
        (shippingAddress == null || isText(shippingAddress, 500, true)) &&
        (idempotencyKey == null || isText(idempotencyKey, 255, false)) &&
        typeof wait === 'boolean';
      if (!fits) {
        throw new Unmodelled();
      }
      return modelled({ order: pendingOrder(input), replayed: null, userErrors: [] });
    },
    updateOrder: ({ input }) => change(input, 'shippingAddress', 'trackingCompany', 'trackingNumber'),
    cancelOrder: ({ input }) => change(input),
    deleteOrder: ({ input }) => change(input),
    // The first update that a subscriber receives.
    orderUpdated: ({ orderId, customerId, allCustomers, after }) => {
      own(customerId);
      const from = after == null ? 0 : data.updates.findIndex(({ cursor }) => cursor === after) + 1;
      const wanted = (update) => orderId == null || update.orderId === orderId;
      const update = data.updates.slice(from).find(wanted);
      if (allCustomers || (after != null && from === 0) || update === undefined) {
        throw new Unmodelled();
      }
      return { ...update, order: order(update.order) };
    },
  };
}

const PAGE = ['first', 'after', 'last', 'before'];

// The arguments, if they are among these.
function only(args, ...names) {
  const known = names.flat();
  if (Object.keys(args).some((name) => !known.includes(name))) {
    throw new Unmodelled();
  }
  return args;
}

// An object whose other properties are not modelled.
function modelled(object) {
  return new Proxy(object, {
    get: (target, name) => {
      if (typeof name === 'string' && !(name in target) && name !== 'then') {
        throw new Unmodelled();
      }
      return target[name];
    },
  });
}

function connection(all, { first, after, last, before, statuses }, found = () => true) {
  const place = (cursor, otherwise) => {
    if (cursor == null) {
      return otherwise;
    }
    const index = all.findIndex((edge) => edge.cursor === cursor);
    if (index < 0) {
      throw new Error(CURSOR_ERROR);
    }
    return index;
  };
  const [from, to] = [place(after, -1), place(before, all.length)];
  if (first != null && last != null) {
    throw new Error('first or last');
  }
  const size = first ?? last ?? 20;
  if (size < 1 || size > 100) {
    throw new Error('out of bounds');
  }
  const wanted = ({ node }) => statuses == null || statuses.includes(node.status);
  const rows = all.slice(from + 1, Math.max(to, from + 1)).filter(wanted).filter(found);
  const more = rows.length > size;
  const edges = last != null ? rows.slice(-size) : rows.slice(0, size);
  const pageInfo = {
    hasNextPage: last != null ? before != null : more,
    hasPreviousPage: last != null ? more : after != null,
    startCursor: edges.at(0)?.cursor ?? null,
    endCursor: edges.at(-1)?.cursor ?? null,
  };
  return { edges, nodes: edges.map(({ node }) => node), pageInfo };
}

function isText(text, max, multiline) {
  const forbidden = multiline ? /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/u : /[\u0000-\u001f\u007f-\u009f]/u;
  return text.trim() !== '' && [...text].length <= max && !forbidden.test(text);
}

function isOpaqueId(id) {
  return [...id].length >= 1 && [...id].length <= 64 && !/[\u0000-\u001f\u007f-\u009f]/u.test(id);
}

function isOrderId(id) {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu.test(id);
}
