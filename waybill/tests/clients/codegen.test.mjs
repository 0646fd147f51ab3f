import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { codegen } from '@graphql-codegen/core';
import * as typedDocumentNode from '@graphql-codegen/typed-document-node';
import * as typescript from '@graphql-codegen/typescript';
import * as operations from '@graphql-codegen/typescript-operations';
import { parse } from 'graphql';
import { authorization, followsAcrossACut, Network, ShopOrder } from './scenario.mjs';

async function generate() {
  const text = { input: 'string', output: 'string' };
  return codegen({
    schema: parse(readFileSync(process.env.SCHEMA, 'utf8')),
    documents: [{ location: 'documents.graphql', document: parse(readFileSync('codegen/documents.graphql', 'utf8')) }],
    filename: 'generated.ts',
    config: {
      strictScalars: true,
      scalars: { ID: text, DateTime: text, Decimal: text },
      enumsAsTypes: true,
      useTypeImports: true,
      avoidOptionals: { field: true },
      nonOptionalTypename: false,
    },
    pluginMap: { typescript, operations, typedDocumentNode },
    plugins: [{ typescript: {} }, { operations: {} }, { typedDocumentNode: {} }],
  });
}

test('types that graphql-codegen generates fit a strict application, which orders, follows and resumes', async (t) => {
  writeFileSync('codegen/generated.mts', await generate());
  try {
    execFileSync('node', ['node_modules/typescript/bin/tsc', '--project', 'codegen'], { stdio: 'pipe' });
  } catch (failed) {
    throw new Error(`tsc: ${failed.stdout}`);
  }
  const { placesAndReads, follows } = await import('./codegen/usage.mjs');
  const network = await Network.open(t);
  const shop = { http: network.http, ws: network.ws, authorization };
  const placed = await placesAndReads(shop);
  const order = ShopOrder.placed({ order: placed, userErrors: [] });
  await followsAcrossACut(network, order, (received) => follows(shop, order.id, received));
});
