// One order: its lines, money, address and history, and what can be done with it.
import { actionForm } from './action-form.js';
import { actionsOf } from './actions.js';
import { ORDER_PAGE } from './documents.js';
import { el, fill, onFrame, pairs } from './dom.js';
import { demoTag, money, shortId, status, time, words } from './format.js';
import { offer } from './keyboard.js';
import * as live from './live.js';
import { notice } from './notice.js';
import { go } from './router.js';
import * as store from './store.js';

export function orderView(main, id) {
  const [head, actions, body] = [el('div'), el('section.actions', { 'aria-label': 'Actions' }), el('div.columns')];
  const history = new Map();
  let order = store.get(id);
  let [customer, error, isRead, form, done] = [null, null, false, null, null];
  const draw = onFrame(drawNow);
  fill(main, el('a', { href: '/console/orders' }, '← Orders'), head, actions, body);
  offer({ back: () => go('/console/orders') });

  async function read() {
    try {
      const answer = await live.read(ORDER_PAGE, { id });
      const found = answer.data.order;
      error = answer.error;
      order = found && store.merge(found);
      customer = found?.customer ?? customer;
      found?.history?.forEach(addEntry);
    } catch (failure) {
      error = failure;
    }
    isRead = true;
    draw();
    return order;
  }

  const addEntry = (entry) => history.set(entry.version, entry);

  const stops = [
    store.changes.on((change) => {
      if (change.id !== id) return;
      order = change.order;
      form?.update(order);
      draw();
    }),
    live.updates.on((update) => {
      if (update.orderId === id) {
        addEntry(update);
        draw();
      }
    }),
    live.stateChanged.on(() => {
      if (error && live.state.name === 'live') read();
    }),
  ];

  function drawNow() {
    document.title = `Order ${shortId(id)} · Waybill`;
    fill(
      head,
      el(
        'div.title',
        el('h1', `Order ${shortId(id)}`),
        order && el('span', { role: 'status' }, status(order.status)),
        order && demoTag(order),
      ),
      order &&
        el(
          'p.fine',
          el('code', id),
          el('span', `version ${order.version}`),
          el('span', 'placed ', time(order.createdAt)),
        ),
      error ? notice(error, read) : !order && el('p.empty', absence()),
    );
    if (!form) drawActions();
    fill(
      body,
      order && [
        el('section', rejection(order), lines(order)),
        el('section', delivery(order, customer), timeline([...history.values()])),
      ],
    );
  }

  function absence() {
    if (store.isDeleted(id)) return 'This order has been deleted.';
    return isRead ? 'There is no order with this id within your reach.' : 'Reading…';
  }

  function drawActions() {
    fill(
      actions,
      done && el('p.done', { role: 'status' }, done),
      order &&
        el(
          'div.buttons',
          actionsOf(order).map((action) =>
            el(`button.${action.look || 'plain'}`, { type: 'button', onclick: () => open(action) }, action.label),
          ),
        ),
    );
  }

  function open(action) {
    form = actionForm(action, order, { reread: read, onClose: close });
    fill(actions, form.node);
    form.node.querySelector('input, textarea, button').focus();
    function close(isDone) {
      form = null;
      done = isDone && `${action.done}.`;
      drawActions();
      actions.querySelector('button')?.focus();
    }
  }

  draw();
  read();
  return () => stops.forEach((stop) => stop());
}

function rejection({ rejection }) {
  return (
    rejection &&
    el('div.notice.conflict', el('p', el('strong', `Rejected, ${words(rejection.code)}: `), rejection.message))
  );
}

function lines({ lineItems, totalAmount }) {
  const row = (cell, ...cells) =>
    el(
      'tr',
      cells.map((content, at) => el(at ? `${cell}.number` : cell, content)),
    );
  return [
    el('h2', 'Lines'),
    el(
      'table',
      el('thead', row('th', 'Product', 'Quantity', 'Price', 'Total')),
      el(
        'tbody',
        lineItems.map((line) =>
          row(
            'td',
            [line.productName, ' ', el('small', line.productId)],
            line.quantity,
            money(line.unitPrice),
            money(line.totalPrice),
          ),
        ),
      ),
      el('tfoot', row('td', 'Total', null, null, money(totalAmount))),
    ),
  ];
}

function delivery(order, customer) {
  const { customerId, trackingCompany, trackingNumber } = order;
  return [
    el('h2', 'Delivery'),
    pairs(
      [
        'Customer',
        customer && `${customer.name} · `,
        el('a', { href: `/console/orders?customer=${encodeURIComponent(customerId)}` }, customerId),
      ],
      customer && ['Contact', customer.email, customer.phone && ` · ${customer.phone}`],
      ['Address', el('span.address', order.shippingAddress ?? 'the customer’s own')],
      ['Tracking', trackingNumber ? `${trackingCompany} ${trackingNumber}` : 'none yet'],
    ),
  ];
}

function timeline(history) {
  history.sort((a, b) => a.version - b.version);
  return [
    el('h2', 'History'),
    el(
      'ol.timeline',
      history.map((entry) =>
        el(
          'li',
          { 'data-status': entry.status },
          says(entry),
          el('span.fine', time(entry.occurredAt), ` version ${entry.version}`),
        ),
      ),
    ),
  ];
}

function says({ kind, status, previousStatus }) {
  if (kind === 'STATUS_CHANGED') return `${words(previousStatus)} → ${words(status)}`;
  return kind === 'CREATED' ? `placed, ${words(status)}` : words(kind);
}
