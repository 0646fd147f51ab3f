// The subscription that keeps everything exact: it begins at the cursor of an order that was read, and resumes after the last
// cursor that it received, however long the connection was gone.
import { ApiError, request, serverNow } from './api.js';
import { ORDERS, UPDATES } from './documents.js';
import { emitter } from './emitter.js';
import { renew, seesAll, session } from './session.js';
import { openSocket } from './socket.js';
import * as store from './store.js';

const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [500, 8_000];
// A replay is over once a read that was sent after it is answered, and for so long no update came that is older than fresh.
const [QUIET_MS, FRESH_MS] = [300, 5_000];
// How far back the first subscription begins, for the plots.
const LOOK_BACK_MS = 5 * 60_000;
const FINAL = ['FORBIDDEN', 'UNAUTHENTICATED', 'BAD_USER_INPUT', 'GRAPHQL_VALIDATION_FAILED'];

// `name` is idle, connecting, replaying, live, reconnecting or refused; `error` says why.
export const state = { name: 'idle', error: null, cursor: null, received: 0, interruptions: 0 };
export const stateChanged = emitter();
export const updates = emitter();
// The cursor has expired: everything on display has to be read again.
export const resets = emitter();

let [socket, timer, quiet, failures] = [null, null, null, 0];
let begun = Promise.withResolvers();
// Counts the starts: what an earlier one still awaits is ignored.
let run = 0;

// Reads once it is fixed where the subscription begins: no update is missed between what is read and what follows.
export async function read(query, variables) {
  await begun.promise;
  return request(query, variables);
}

function enter(name, error = null) {
  Object.assign(state, { name, error });
  if (name === 'refused') begun.reject(error);
  stateChanged.emit();
}

export function start() {
  drop();
  run += 1;
  failures = 0;
  renewBegun();
  Object.assign(state, { cursor: null, received: 0, interruptions: 0 });
  enter('connecting');
  begin();
}

// Goes on after the last cursor at once, unless it is under way.
export function resume() {
  if (!['reconnecting', 'refused'].includes(state.name)) return;
  drop();
  if (state.name === 'refused') renewBegun();
  if (state.cursor) connect();
  else begin();
}

function renewBegun() {
  begun = Promise.withResolvers();
  // Those who wait for it say what failed.
  begun.promise.catch(() => {});
}

// Lets go of the socket; its end is no failure.
function drop() {
  clearTimeout(timer);
  clearTimeout(quiet);
  quiet = null;
  const open = socket;
  socket = null;
  open?.close();
}

// Every event before a cursor that was read is in what was read with it: any order of the page is a place to begin.
async function begin() {
  const started = run;
  try {
    const { nodes } = (await request(ORDERS, { first: 100, all: seesAll() })).data.orders;
    if (started !== run) return;
    nodes.forEach((order) => store.merge(order));
    const recent = nodes.filter(({ updatedAt }) => serverNow() - Date.parse(updatedAt) < LOOK_BACK_MS);
    recent.sort((a, b) => a.updatedAt.localeCompare(b.updatedAt));
    state.cursor = (recent[0] ?? nodes[0])?.cursor ?? null;
    if (state.cursor) begun.resolve();
    connect();
  } catch (error) {
    if (started === run) fail(error);
  }
}

function connect() {
  const [started, token] = [run, session.viewer?.token];
  const opened = openSocket(token, {
    onAck() {
      enter('replaying');
      opened.subscribe('updates', UPDATES, { all: seesAll(), after: state.cursor });
      opened.subscribe('recent', ORDERS, { first: 20, all: seesAll() });
    },
    onMessage: (message) => opened === socket && onMessage(message),
    async onClose(code, reason) {
      if (opened !== socket) return;
      drop();
      const goesOn = ![4401, 4403].includes(code) || (await renew(token).catch(() => true));
      if (started !== run || socket) return;
      const error = new ApiError({
        message: reason || (code === 1006 ? 'the connection was lost' : `the connection was closed (${code})`),
      });
      if (goesOn) fail(error);
      else enter('refused', error);
    },
  });
  socket = opened;
}

function onMessage({ id, type, payload }) {
  const errors = type === 'error' ? payload : payload?.errors;
  if (id === 'recent') {
    payload?.data?.orders?.nodes.forEach((order) => store.merge(order));
    // Without an order there was no cursor to begin at: only now the subscription has certainly begun.
    if (type !== 'next') {
      begun.resolve();
      settle();
    }
  } else if (type === 'next' && !errors) {
    onUpdate(payload.data.orderUpdated);
  } else {
    onEnd(new ApiError(errors?.[0] ?? { message: 'the gateway ended the subscription' }));
  }
}

function onUpdate(update) {
  state.cursor = update.cursor;
  state.received += 1;
  if (update.order) store.merge(update.order, true);
  else store.remove(update.orderId);
  updates.emit(update);
  if (quiet && serverNow() - Date.parse(update.occurredAt) > FRESH_MS) settle();
}

function settle() {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    quiet = null;
    failures = 0;
    if (state.name === 'replaying') enter('live');
  }, QUIET_MS);
}

function onEnd(error) {
  drop();
  if (!['CURSOR_EXPIRED', 'CURSOR_INVALID'].includes(error.code)) return fail(error);
  store.clear();
  start();
  resets.emit();
}

function fail(error) {
  if (FINAL.includes(error.code)) return enter('refused', error);
  const pause = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS) * (0.5 + Math.random() / 2);
  failures += 1;
  state.interruptions += 1;
  enter('reconnecting', error);
  timer = setTimeout(resume, pause);
}

addEventListener('online', resume);
document.addEventListener('visibilitychange', () => document.hidden || resume());
