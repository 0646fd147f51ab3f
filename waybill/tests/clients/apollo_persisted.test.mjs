import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { authorization, Network, PRODUCT } from './scenario.mjs';

// A router would have to speak it itself.
const { ROUTED } = process.env;

test('Apollo Client names its queries by their hashes, once the gateway knows them', { skip: ROUTED }, async (t) => {
  const network = await Network.open(t);
  const sent = [];
  const sha256 = (query) => createHash('sha256').update(query).digest('hex');
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries: true });
  const http = new HttpLink({
    uri: network.http,
    headers: { authorization },
    fetch: (url, request) => {
      sent.push([request.method, /query/u.test(new URL(url).searchParams.get('query') ?? request.body ?? '')]);
      return fetch(url, request);
    },
  });
  const client = new ApolloClient({ link: ApolloLink.from([persisted, http]), cache: new InMemoryCache() });
  t.after(() => client.stop());
  // A document that no other run has sent.
  const query = gql(PRODUCT.replace('Product(', `Product${process.hrtime.bigint()}(`));
  for (const id of ['PROD01', 'PROD02']) {
    const { data } = await client.query({ query, variables: { id } });
    assert.equal(data.product.id, id);
  }
  const [byHash, withText, again, ...more] = sent;
  assert.deepEqual([byHash, again, more], [['GET', false], ['GET', false], []]);
  assert.equal(withText[1], true);
});
