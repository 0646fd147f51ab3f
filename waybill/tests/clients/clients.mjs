// Clients that follow orderUpdated through graphql-ws, Apollo Client and urql, and go on after their last cursor whenever
// they have to subscribe again. Takes the gateway's port, a token, the cursor to begin after, and the number of clients
// through Apollo and through urql (of graphql-ws alone there are as many as both); then one command a line. Each prints
// what every client has received; `resubscribe` lets each begin anew first.
import net from 'node:net';
import { createInterface } from 'node:readline';
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client as UrqlClient, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

globalThis.WebSocket = WebSocket;

const [port, token, firstCursor, count] = process.argv.slice(2);
const QUERY = 'subscription Updates($after: String) { orderUpdated(after: $after) { cursor version } }';

// A load balancer in front of the gateway: it keeps a connection waiting while no gateway takes it. By its default
// settings graphql-ws tries again after a socket was closed, and never after a connection was refused.
function balancer() {
  return net.createServer((client) => {
    // What the client has sent, until a gateway answers.
    let received = [];
    let upstream;
    const connect = () => {
      if (client.destroyed) {
        return;
      }
      upstream = net.connect(Number(port), '127.0.0.1');
      upstream.on('error', () => {});
      upstream.write(Buffer.concat(received ?? []));
      upstream.on('data', (bytes) => {
        received = undefined;
        client.write(bytes);
      });
      upstream.once('close', () => (received ? setTimeout(connect, 50) : client.end()));
    };
    client.on('data', (bytes) => {
      received?.push(bytes);
      upstream.write(bytes);
    });
    client.on('error', () => {});
    client.once('close', () => upstream.destroy());
    connect();
  });
}

// Follows updates, as an application does: what it shows comes from `onUpdate`, and `subscribe` returns how to stop.
class Follower {
  constructor(kind, url, settings, subscribe) {
    this.kind = kind;
    this.cursor = firstCursor;
    this.versions = [];
    this.closes = {};
    this.ended = null;
    const client = createClient({
      url,
      connectionParams: { authorization: `Bearer ${token}` },
      // Each time that it subscribes, after whatever reason, it does so after the last update that it received.
      jsonMessageReplacer: (key, value) => (key === 'after' ? this.cursor : value),
      on: { closed: ({ code }) => (this.closes[code] = (this.closes[code] ?? 0) + 1) },
      ...settings,
    });
    this.subscribe = subscribe(client, this);
    this.begin();
  }

  begin() {
    let isCurrent = true;
    const sink = {
      next: (result) => isCurrent && this.onResult(result),
      error: (error) => isCurrent && this.end(`error: ${describe(error)}`),
      complete: () => isCurrent && this.end('complete'),
    };
    const stop = this.subscribe(sink);
    this.stop = () => {
      isCurrent = false;
      stop();
    };
  }

  resubscribe() {
    this.stop();
    this.begin();
  }

  onResult({ data, error, errors }) {
    if (!data) {
      this.end(`result: ${describe(error ?? errors)}`);
      return;
    }
    this.cursor = data.orderUpdated.cursor;
    this.versions.push(data.orderUpdated.version);
  }

  end(reason) {
    this.ended ??= reason;
  }
}

function describe(error) {
  return error?.message ?? error?.reason ?? JSON.stringify(error);
}

const variables = { after: firstCursor };

function overGraphqlWs(client) {
  return (sink) => client.subscribe({ query: QUERY, variables }, sink);
}

function overApollo(client) {
  const apollo = new ApolloClient({ link: new GraphQLWsLink(client), cache: new InMemoryCache() });
  const query = gql(QUERY);
  return (sink) => {
    const subscription = apollo.subscribe({ query, variables, fetchPolicy: 'no-cache' }).subscribe(sink);
    return () => subscription.unsubscribe();
  };
}

function overUrql(client, follower) {
  const forwardSubscription = ({ query, variables }) => ({
    subscribe: (sink) => {
      let isStopped = false;
      // urql shows an end only as a result that more results don't follow.
      const complete = () => {
        if (!isStopped) {
          follower.end('complete');
        }
        sink.complete();
      };
      const stop = client.subscribe({ query, variables }, { ...sink, complete });
      const unsubscribe = () => {
        isStopped = true;
        stop();
      };
      return { unsubscribe };
    },
  });
  const exchanges = [subscriptionExchange({ forwardSubscription })];
  const urql = new UrqlClient({ url: 'http://127.0.0.1/unused', exchanges });
  return (sink) => urql.subscription(QUERY, variables).subscribe(sink.next).unsubscribe;
}

const server = balancer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const direct = `ws://127.0.0.1:${port}/graphql`;
const balanced = `ws://127.0.0.1:${server.address().port}/graphql`;
const followers = [];
for (let number = 0; number < Number(count); number += 1) {
  const always = { retryAttempts: Infinity, shouldRetry: () => true };
  followers.push(new Follower('graphql-ws', direct, always, overGraphqlWs));
  followers.push(new Follower('graphql-ws', direct, always, overGraphqlWs));
  followers.push(new Follower('apollo', balanced, {}, overApollo));
  followers.push(new Follower('urql', balanced, {}, overUrql));
}

for await (const command of createInterface({ input: process.stdin })) {
  if (command === 'resubscribe') {
    followers.forEach((follower) => follower.resubscribe());
  }
  const report = followers.map(({ kind, versions, closes, ended }) => ({ kind, versions, closes, ended }));
  console.log(JSON.stringify(report));
}
process.exit(0);
