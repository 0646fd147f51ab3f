'use strict';

// Speaks to the address given through the package that the older subprotocol comes from, and prints what its user sees.
const { SubscriptionClient } = require('subscriptions-transport-ws');
const ws = require('ws');

// What an operation's observer is told until it ends.
function run(client, query) {
  return new Promise((resolve) => {
    const results = [];
    client.request({ query }).subscribe({
      next: (result) => results.push(result.errors ? { code: result.errors[0].extensions.code } : result.data),
      error: (error) => resolve([...results, { error: error.extensions.code }]),
      complete: () => resolve([...results, 'complete']),
    });
  });
}

async function main(url, token) {
  const connectionParams = { Authorization: `Bearer ${token}` };
  const client = new SubscriptionClient(url, { connectionParams }, ws);
  const seen = {
    query: await run(client, '{ whoami }'),
    mutation: await run(client, 'mutation { bump }'),
    subscription: await run(client, 'subscription { count(to: 3) }'),
    invalid: await run(client, '{ unknown }'),
    refused: await run(client, 'subscription { refused }'),
  };
  // One that is given up ends alone.
  client.request({ query: 'subscription { ticks { value } }' }).subscribe({}).unsubscribe();
  seen.after = await run(client, '{ hello }');
  client.close();
  console.log(JSON.stringify(seen));
}

main(process.argv[2], process.argv[3]);
