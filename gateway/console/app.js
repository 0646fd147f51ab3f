// Starts the console: signs in, follows the orders, and shows the view that the address bar names.
import * as basket from './basket.js';
import { el, field, fill } from './dom.js';
import { offer } from './keyboard.js';
import * as live from './live.js';
import * as measures from './measures.js';
import { notice } from './notice.js';
import { navigated, route } from './router.js';
import { adopt, choose, openSignInPage, session, signedIn, start } from './session.js';
import * as store from './store.js';
import { nowView } from './view-now.js';
import { orderView } from './view-order.js';
import { ordersView } from './view-orders.js';
import { shopView } from './view-shop.js';

const VIEWS = { shop: ['Shop', shopView], orders: ['Orders', ordersView], now: ['Now', nowView] };

const app = document.getElementById('app');
const main = el('main', { id: 'main', tabindex: '-1' });
const [nav, link, viewer, banner] = [
  el('nav', { 'aria-label': 'Views' }),
  el('p.link', { role: 'status' }),
  el('div'),
  el('div.banner'),
];
let close = () => {};

function show() {
  close();
  offer({});
  const { view = 'orders', id } = route();
  const [title, open] = VIEWS[view] ?? VIEWS.orders;
  document.title = `${title} · Waybill`;
  fill(
    nav,
    Object.entries(VIEWS).map(([name, [label]]) =>
      el('a', { href: `/console/${name}`, 'aria-current': label === title && 'page' }, label),
    ),
  );
  scrollTo(0, 0);
  if (session.viewer) close = id ? orderView(main, id) : open(main);
  else fill(main, el('div.box.sign-in', el('h1', 'Sign in'), signIn()));
}

// What the page is doing, in a word, and in a banner when what is shown may be out of date.
function drawState() {
  const { name, error } = live.state;
  fill(link, el('span.dot', { 'data-link': name }), name);
  fill(
    banner,
    session.ended
      ? el('div', el('p', 'Your sign-in has ended: what is shown may be out of date.'), signIn())
      : ['reconnecting', 'refused'].includes(name) &&
          el(
            'p',
            `${name === 'refused' ? 'Not following' : 'Connecting again'}: ${error.message}. What is shown may be out of date. `,
            error.code && el('code', error.code),
            ' ',
            error.traceId && el('code', error.traceId),
          ),
  );
}

function drawViewer() {
  const { identities, viewer: current } = session;
  fill(
    viewer,
    identities.length
      ? el(
          'select',
          { 'aria-label': 'Signed in as', onchange: ({ target }) => choose(target.value) },
          identities.map(({ name }) => el('option', { selected: name === current?.name }, name)),
        )
      : current?.name,
  );
}

function signIn() {
  const [token, problem] = [
    el('input', { type: 'password', autocomplete: 'off', required: true }),
    el('p', { role: 'alert' }),
  ];
  function use(event) {
    event.preventDefault();
    try {
      adopt(token.value.trim());
    } catch {
      problem.textContent = 'This is no token.';
    }
  }
  return session.signInPage
    ? el('button.primary', { type: 'button', onclick: openSignInPage }, 'Sign in')
    : el(
        'form',
        { onsubmit: use },
        field('Token, kept in memory alone', token),
        el('button.primary', { type: 'submit' }, 'Use it'),
        problem,
      );
}

signedIn.on(({ isSame }) => {
  drawViewer();
  drawState();
  if (isSame) return session.ended || live.resume();
  store.clear();
  measures.clear();
  basket.load();
  live.start();
  if (main.isConnected) show();
});
live.stateChanged.on(drawState);
live.resets.on(show);
navigated.on(() => {
  show();
  main.focus({ preventScroll: true });
});

async function begin() {
  try {
    await start();
  } catch (error) {
    return fill(app, notice(error, begin));
  }
  fill(
    app,
    el('a.skip', { href: '#main' }, 'Skip to the content'),
    el('header', el('a.brand', { href: '/console' }, 'Waybill'), nav, link, viewer),
    banner,
    main,
    el(
      'footer',
      ['j', 'k', '/', 'Enter', 'Esc'].map((key) => el('kbd', key)),
      'down, up, search, open, back',
      session.identities.length > 0 && el('a', { href: '/' }, 'Playground'),
    ),
  );
  drawViewer();
  drawState();
  show();
}

begin();
