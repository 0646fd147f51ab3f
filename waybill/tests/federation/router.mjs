// A router over two subgraphs, the gateway and the reviews. As a program it prints its address and serves until it is ended.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { createGatewayRuntime, getGraphQLWSOptions } from '@graphql-hive/gateway-runtime';
import { composeServices, compositionHasErrors } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { listen, sdl as reviews, serveReviews } from './reviews.mjs';

// Returns the router's address, and how to end it.
export async function route(gateway) {
  const url = `http://${gateway}/graphql`;
  const body = JSON.stringify({ query: '{ _service { sdl } }' });
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  const subgraph = await serveReviews();
  const composed = composeServices([
    { name: 'waybill', url, typeDefs: parse(data._service.sdl) },
    { name: 'reviews', url: subgraph.url, typeDefs: parse(reviews) },
  ]);
  assert.ok(!compositionHasErrors(composed), JSON.stringify(composed.errors));
  const router = createGatewayRuntime({
    supergraph: composed.supergraphSdl,
    logging: false,
    propagateHeaders: {
      fromClientToSubgraphs: ({ request }) => ({ authorization: request.headers.get('authorization') }),
    },
    transportEntries: {
      waybill: {
        options: {
          subscriptions: {
            kind: 'ws',
            options: { connectionParams: { authorization: '{context.headers.authorization}' } },
          },
        },
      },
    },
  });
  const server = createServer(router);
  const sockets = new WebSocketServer({ server, path: '/graphql' });
  // Through a socket a client signs in with what it connects by: for the router, the headers of each operation.
  const signedIn = ({ connectionParams: { authorization } }) => {
    const headers = { authorization };
    return { headers, request: new Request('http://router/graphql', { method: 'POST', headers }) };
  };
  useServer(getGraphQLWSOptions(router, signedIn), sockets);
  // Sockets would not wait for it.
  await router.getSchema();
  const listening = await listen(server);
  const end = async () => {
    sockets.clients.forEach((socket) => socket.terminate());
    listening.end();
    subgraph.end();
    await router[Symbol.asyncDispose]();
  };
  return { url: listening.url, end };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { url } = await route(process.env.GATEWAY);
  console.log(`routing at ${new URL(url).host}`);
}
