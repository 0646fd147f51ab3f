// Who is signed in. Tokens are kept in memory alone; in mock mode the gateway gives one to each demo identity.
import { emitter } from './emitter.js';

const IDENTITY = 'waybill-identity';

export const signedIn = emitter();
// `viewer` is { name, token, customerId, scopes }; `ended` says that the gateway has refused its token.
export const session = { identities: [], signInPage: null, viewer: null, ended: false };
let popup = null;

export const can = (scope) => session.viewer?.scopes.includes(scope) ?? false;
export const seesAll = () => can('orders:all');
const identity = (name) => session.identities.find((identity) => identity.name === name);

export async function start() {
  await readConfig();
  const first = identity(sessionStorage.getItem(IDENTITY)) ?? session.identities[0];
  if (first) adopt(first.token, first.name);
}

async function readConfig() {
  const response = await fetch('/console/config.json');
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  Object.assign(session, await response.json());
}

export function choose(name) {
  sessionStorage.setItem(IDENTITY, name);
  adopt(identity(name).token, name);
}

// Signs in; throws if the text is no token. What a token says of itself is for display: the gateway alone checks it.
export function adopt(token, name) {
  const claims = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
  const { sub, scope = '' } = JSON.parse(
    new TextDecoder().decode(Uint8Array.from(claims, (byte) => byte.charCodeAt(0))),
  );
  const before = session.viewer;
  session.viewer = { name: name ?? sub, token, customerId: sub, scopes: scope.split(' ') };
  session.ended = false;
  signedIn.emit({ isSame: before?.customerId === sub && before.scopes.join() === session.viewer.scopes.join() });
}

// The gateway has refused this token: whether there is another one to go on with.
export async function renew(refused) {
  const { viewer } = session;
  if (viewer?.token !== refused) return true;
  if (identity(viewer?.name)) {
    await readConfig();
    adopt(identity(viewer.name).token, viewer.name);
    return true;
  }
  session.ended = true;
  signedIn.emit({ isSame: true });
  return false;
}

// The operator's page hands the token over: opener.postMessage({ waybillToken: token }, origin of the console).
export function openSignInPage() {
  popup = window.open(session.signInPage, 'waybill-sign-in', 'popup,width=480,height=680');
}

addEventListener('message', ({ origin, source, data }) => {
  if (!popup || source !== popup || origin !== new URL(session.signInPage).origin || !data?.waybillToken) return;
  popup.close();
  adopt(data.waybillToken);
});
