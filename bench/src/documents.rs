//! The GraphQL documents that are measured. The gateway and the floor without a backend get the same ones.

/// One order.
pub(crate) const ORDER: &str = "query Order($id: ID!) { order(id: $id) { \
    id status version customerId totalAmount { amount currencyCode } shippingAddress \
    lineItems { id productId productName quantity unitPrice { amount currencyCode } } createdAt updatedAt } }";

/// A page of orders with what three services have of them.
pub(crate) const ORDERS: &str = "query Orders($first: Int, $after: String) { orders(first: $first, after: $after) { \
    nodes { id status version totalAmount { amount currencyCode } shippingAddress \
    customer { id name email } \
    lineItems { id productId productName quantity unitPrice { amount currencyCode } \
    product { id name description unitPrice { amount currencyCode } availableQuantity } } createdAt updatedAt } \
    pageInfo { hasNextPage endCursor } } }";

/// An order to be placed.
pub(crate) const CREATE_ORDER: &str = "mutation CreateOrder($input: CreateOrderInput!, $wait: Boolean!) { \
    createOrder(input: $input, wait: $wait) { \
    order { id status version totalAmount { amount currencyCode } cursor \
    lineItems { id productId productName quantity unitPrice { amount currencyCode } } } \
    userErrors { code message } } }";
