// A second subgraph, over graphql-js alone: reviews of products, and notes about orders.
import { createServer } from 'node:http';
import { buildSchema, graphql } from 'graphql';

const TYPES = `
  type Product @key(fields: "id") {
    id: ID!
    reviews: [Review!]!
  }
  type Order @key(fields: "id") {
    id: ID!
    note: String!
  }
  type Review {
    id: ID!
    text: String!
    product: Product!
  }
  type Query {
    review(id: ID!): Review
    noted(id: ID!): Order
  }
`;

export const sdl = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
  ${TYPES}
`;

const schema = buildSchema(`
  ${TYPES.replaceAll(/ @key\(fields: "id"\)/gu, '')}
  scalar _Any
  union _Entity = Product | Order
  extend type Query {
    _entities(representations: [_Any!]!): [_Entity]!
  }
`);

const product = (id) => ({ __typename: 'Product', id, reviews: () => [review(`${id}-1`)] });
const review = (id) => ({ id, text: `Review ${id}`, product: () => product(id.split('-')[0]) });
const order = (id) => ({ __typename: 'Order', id, note: `Note on ${id}` });

const rootValue = {
  review: ({ id }) => review(id),
  noted: ({ id }) => order(id),
  _entities: ({ representations }) =>
    representations.map(({ __typename, id }) => (__typename === 'Product' ? product(id) : order(id))),
};

// Serves the subgraph on a free port.
export function serveReviews() {
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { query: source, variables: variableValues } = JSON.parse(body);
    const result = await graphql({ schema, source, variableValues, rootValue });
    response.setHeader('content-type', 'application/json').end(JSON.stringify(result));
  });
  return listen(server);
}

// Returns the address of a server on a free port, and how to end it.
export async function listen(server) {
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const end = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/graphql`, end };
}
