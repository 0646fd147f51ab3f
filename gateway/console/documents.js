// The GraphQL documents: whatever the console shows comes from these.

const MONEY = '{ amount currencyCode }';
// No other service than order-service is asked for these.
const ORDER = `id status customerId version cursor createdAt updatedAt shippingAddress trackingCompany trackingNumber
  totalAmount ${MONEY} lineItems { productId productName quantity unitPrice ${MONEY} totalPrice ${MONEY} } rejection { code message }`;
const PAYLOAD = `{ order { ${ORDER} } userErrors { code message } }`;
const PAGE = 'pageInfo { hasNextPage endCursor }';

export const ORDERS = `query Orders($first: Int!, $after: String, $all: Boolean!, $customer: ID, $statuses: [OrderStatus!],
    $product: ID, $tracking: String, $from: DateTime, $before: DateTime) {
  orders(first: $first, after: $after, allCustomers: $all, customerId: $customer, statuses: $statuses, productId: $product,
    trackingNumber: $tracking, placedFrom: $from, placedBefore: $before) { nodes { ${ORDER} } ${PAGE} } }`;
export const ORDER_PAGE = `query OrderPage($id: ID!) { order(id: $id) { ${ORDER}
  customer { name email phone } history { kind version status previousStatus occurredAt } } }`;
export const PRODUCTS = `query Products($after: String, $search: String) { products(first: 100, after: $after, search: $search) {
  nodes { id name description availableQuantity unitPrice ${MONEY} } ${PAGE} } }`;
export const UPDATES = `subscription Updates($all: Boolean!, $after: String) { orderUpdated(allCustomers: $all, after: $after) {
  cursor kind orderId version status previousStatus occurredAt order { ${ORDER} } } }`;
export const CREATE = `mutation Create($input: CreateOrderInput!) { payload: createOrder(input: $input) ${PAYLOAD} }`;
export const UPDATE = `mutation Update($input: UpdateOrderInput!) { payload: updateOrder(input: $input) ${PAYLOAD} }`;
export const CANCEL = `mutation Cancel($input: CancelOrderInput!) { payload: cancelOrder(input: $input) ${PAYLOAD} }`;
