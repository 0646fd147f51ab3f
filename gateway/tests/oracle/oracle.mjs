// Judges the gateway's answers by graphql-js, the specification's reference implementation. Reads JSON lines: first the
// schema and its data, then one request with its answer a line. Prints one line for each: the class of the request, and
// what differs, if anything.
import { createInterface } from 'node:readline';
import { buildSchema, executeSync, parse, subscribe, validate, validateExecutionArgs } from 'graphql';
import { argumentsOf, sorted, withNullableFields } from './arguments.mjs';
import { Unmodelled, rootValue } from './model.mjs';

// Where the gateway is right to answer otherwise: the specification leaves it open, or JavaScript can't do it.
// `applies` sees the request, graphql-js's verdict and the gateway's.
const ALLOWED_DIFFERENCES = [
  {
    // A nullable variable with a default may stand there, and be given null. CollectFields (section 6.3.2) asks whether
    // the argument is true, so that null is as good as false; graphql-js makes it an error of the field around.
    name: 'null for @skip or @include',
    applies: (request, expected, actual) => {
      const isCondition = (name) => request.query.includes(`(if: $${name})`);
      const given = Object.entries(request.variables);
      const nulls = given.filter(([name, value]) => value === null && isCondition(name)).map(([name]) => name);
      const variables = { ...request.variables, ...Object.fromEntries(nulls.map((name) => [name, false])) };
      // A variable that is an argument elsewhere stays null there.
      const ofNull = (condition, name) => (nulls.includes(name) ? condition.replace(`$${name}`, 'false') : condition);
      const query = request.query.replace(/@(?:skip|include)\(if: \$(\w+)\)/gu, ofNull);
      const readings = [{ ...request, variables }, { ...request, query }];
      return (
        expected.messages?.some(isNullDirective) &&
        readings.some((reading) => compare(judge(reading), actual) === undefined)
      );
    },
  },
];

const isNullDirective = (message) => /^Argument "@(skip|include)\(if:\)" has invalid value/u.test(message);
const SUBSCRIPTIONS = 'a subscription is served over WebSocket';
const ANY = '\u0000any';

let schema;
let nullableSchema;
let root;

// What graphql-js makes of a request: refused, or executed with its data and the paths of its errors.
function judge({ query, operationName, variables }) {
  let document;
  try {
    // By default it takes empty selection sets.
    document = parse(query, { allowEmptySelectionSets: false });
  } catch (error) {
    return { verdict: 'refused', stage: 'syntax', reason: error.message };
  }
  const invalid = validate(schema, document);
  if (invalid.length > 0) {
    return { verdict: 'refused', stage: 'validation', reason: invalid[0].message };
  }
  const request = { schema, document, operationName, variableValues: variables };
  const args = validateExecutionArgs(request);
  if (Array.isArray(args)) {
    return { verdict: 'refused', stage: 'request', reason: args[0].message };
  }
  const stage = args.operation.operation;
  if (stage === 'subscription') {
    // Without valid arguments its root field has no events, and the operation is refused as a whole.
    const { errors } = subscribe({ ...request, rootValue: { orderUpdated: noEvents } });
    if (errors) {
      return { verdict: 'refused', stage: 'request', reason: errors[0].message };
    }
  }
  // Of a subscription: the result for its first event.
  const { data, errors = [] } = executeSync({ ...request, rootValue: root });
  const unmodelled = errors.some((error) => error.originalError instanceof Unmodelled);
  const messages = errors.map(({ message }) => message);
  const fields = argumentsOf(nullableSchema, request);
  // Where an argument is null for which a directive takes none, see above.
  const isComparable = !fields.messages.some(isNullDirective);
  return {
    verdict: 'executed',
    stage,
    data: unmodelled ? undefined : data,
    errors: paths(errors),
    messages,
    fields: isComparable ? fields.fields : undefined,
  };
}

async function* noEvents() {}

function paths(errors) {
  return errors.map((error) => (error.path ?? []).join('.')).sort();
}

// What the gateway made of it, in the same words.
function read({ status, body, first: message }) {
  const { data, errors = [], extensions } = JSON.parse(body);
  const [first] = errors;
  if (first?.message.startsWith(SUBSCRIPTIONS)) {
    return readUpdate(message);
  }
  if (first?.extensions.code === 'QUERY_TOO_COMPLEX') {
    return { verdict: 'limited' };
  }
  if (data === undefined) {
    return { verdict: 'refused', reason: first?.message, status };
  }
  return { verdict: 'executed', data, errors: paths(errors), status, fields: extensions?.arguments };
}

// The first message of a subscription. Without an event that the model has, its data are null.
function readUpdate({ type, payload }) {
  if (type !== 'next') {
    return { verdict: 'refused', reason: payload?.[0]?.message ?? type };
  }
  const { data, errors = [], extensions } = payload;
  return { verdict: 'executed', data: data ?? undefined, errors: paths(errors), fields: extensions?.arguments };
}

// The first difference between two values, in the order of their keys; none if they are equal.
function difference(expected, actual, path = 'data') {
  if (expected === ANY) {
    return actual === null ? `${path}: null` : undefined;
  }
  if (typeof expected !== 'object' || expected === null || typeof actual !== 'object' || actual === null) {
    return expected === actual ? undefined : `${path}: ${JSON.stringify(expected)}, not ${JSON.stringify(actual)}`;
  }
  const [keys, others] = [Object.keys(expected), Object.keys(actual)];
  if (Array.isArray(expected) !== Array.isArray(actual) || keys.join() !== others.join()) {
    return `${path}: keys ${keys.join()}, not ${others.join()}`;
  }
  for (const key of keys) {
    const found = difference(expected[key], actual[key], `${path}.${key}`);
    if (found !== undefined) {
      return found;
    }
  }
  return undefined;
}

function compare(expected, actual) {
  if (actual.verdict === 'limited') {
    return undefined;
  }
  if (expected.verdict !== actual.verdict) {
    return `${expected.verdict} (${expected.reason ?? 'valid'}), not ${actual.verdict} (${actual.reason ?? 'valid'})`;
  }
  if (expected.verdict === 'refused') {
    return actual.status === 400 ? undefined : `refused with status ${actual.status}`;
  }
  const found = expected.fields && difference(sorted(expected.fields), sorted(actual.fields), 'arguments');
  if (found !== undefined || !isModelled(expected, actual)) {
    return found;
  }
  return difference(expected.data, actual.data) ?? difference(expected.errors, actual.errors, 'paths of errors');
}

// Whether both have data: the model may lack what the gateway knows, and the fixed events what a subscription asks for.
function isModelled(expected, actual) {
  return expected.data !== undefined && actual.data !== undefined;
}

function answer(request) {
  const [expected, actual] = [judge(request), read(request)];
  const found = compare(expected, actual);
  const allowed = found && ALLOWED_DIFFERENCES.find(({ applies }) => applies(request, expected, actual));
  const kind = actual.verdict === 'limited' ? 'limited' : expected.stage;
  const modelled = expected.verdict === 'refused' || isModelled(expected, actual);
  return allowed ? { kind: 'allowed', modelled, allowed: allowed.name } : { kind, modelled, difference: found };
}

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (message.sdl !== undefined) {
    schema = buildSchema(message.sdl);
    nullableSchema = withNullableFields(message.sdl);
    root = rootValue(message.data, ANY);
    continue;
  }
  let answered;
  try {
    answered = answer(message);
  } catch (error) {
    answered = { kind: 'failed', modelled: false, difference: `the oracle failed: ${error.stack}` };
  }
  process.stdout.write(`${JSON.stringify(answered)}\n`);
}
