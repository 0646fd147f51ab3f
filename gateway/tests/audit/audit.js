'use strict';

// Runs the GraphQL-over-HTTP audits against the address given, with the token given, and prints one line for each that
// is not passed. Exits 0 only where all of them ran and passed.
const { serverAudits } = require('graphql-http');

async function main(url, token) {
  const fetchFn = (address, init = {}) =>
    fetch(address, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });
  const audits = serverAudits({ url, fetchFn });
  let passed = 0;
  for (const audit of audits) {
    const result = await audit.fn();
    if (result.status === 'ok') {
      passed += 1;
    } else {
      console.log(`${audit.id} ${audit.name}: ${result.status}: ${result.reason}`);
    }
  }
  console.log(`${passed} of ${audits.length} audits passed`);
  process.exitCode = audits.length === 61 && passed === audits.length ? 0 : 1;
}

main(process.argv[2], process.argv[3]);
