// The documents of relay.test.mjs, for Relay's compiler alone: nothing runs this file.
const { graphql } = require('relay-runtime');

graphql`
  fragment Shop_order on Order @refetchable(queryName: "ShopOrderRefetchQuery") {
    id
    version
    shippingAddress
    lineItems {
      id
      product {
        id
        name
      }
    }
  }
`;

graphql`
  fragment Shop_orders on Query
  @refetchable(queryName: "ShopOrdersPageQuery")
  @argumentDefinitions(count: { type: "Int", defaultValue: 2 }, after: { type: "String" }, productId: { type: "ID" }) {
    orders(first: $count, after: $after, productId: $productId) @connection(key: "Shop_orders") {
      edges {
        node {
          id
          version
        }
      }
    }
  }
`;

graphql`
  query ShopOrdersQuery($productId: ID) {
    ...Shop_orders @arguments(productId: $productId)
  }
`;

graphql`
  query ShopNodeQuery($id: ID!) {
    node(id: $id) {
      __typename
      id
      ... on Product {
        name
      }
    }
  }
`;

graphql`
  query ShopOrderQuery($id: ID!) {
    order(id: $id) {
      __typename
      id
      version
      shippingAddress
    }
  }
`;

graphql`
  mutation ShopPlaceMutation($input: CreateOrderInput!) {
    createOrder(input: $input) {
      order {
        id
        status
        version
        cursor
      }
      userErrors {
        code
        message
      }
    }
  }
`;

graphql`
  subscription ShopUpdatesSubscription($orderId: ID, $after: String) {
    orderUpdated(orderId: $orderId, after: $after) {
      cursor
      version
      order {
        __typename
        id
        version
        shippingAddress
      }
    }
  }
`;
