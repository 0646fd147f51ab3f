// The list of orders, filtered by what the address bar says.
import { el, fill, onFrame } from './dom.js';
import { demoTag, goods, money, shortId, status, time } from './format.js';
import { offer } from './keyboard.js';
import * as live from './live.js';
import { notice } from './notice.js';
import { filterForm, readFilter, writeFilter } from './order-filter.js';
import { MAX_ROWS, orderList } from './order-list.js';
import { go, orderPath, route, setQuery } from './router.js';
import { windowList } from './window-list.js';

const COLUMNS = ['Status', 'Order', 'Customer', 'Goods', 'Total', 'Placed'];
// The order that was opened last, for the way back to it.
let opened = null;

export function ordersView(main) {
  const filter = readFilter(route().query);
  let [list, selected] = [null, -1];
  const [count, state, body] = [el('p.fine', { role: 'status' }), el('div'), el('div.rows', { role: 'rowgroup' })];
  const table = el(
    'div',
    { role: 'table', 'aria-label': 'Orders, newest first' },
    el(
      'div',
      { role: 'rowgroup' },
      el(
        'div.row.head',
        { role: 'row' },
        COLUMNS.map((name) => el('span', { role: 'columnheader' }, name)),
      ),
    ),
    body,
  );
  const form = filterForm(filter, () => {
    setQuery(writeFilter(filter));
    open();
  });
  fill(main, el('div.title', el('h1', 'Orders'), count), form, table, state);
  const rows = windowList(body, {
    key: ({ order }) => order.id,
    signature: ({ order, mark, isLeaving }) => `${order.version} ${mark} ${isLeaving}`,
    render,
    onEnd: () => list.error || list.loadMore(),
  });
  const draw = onFrame(drawNow);

  function open() {
    list?.close();
    list = orderList(filter);
    list.changed.on(draw);
    list.loadMore();
  }

  function drawNow() {
    const { length } = list.rows;
    table.hidden = !length;
    table.setAttribute('aria-rowcount', list.hasMore ? -1 : length + 1);
    rows.update(list.rows);
    count.textContent = length ? `${length.toLocaleString()}${list.hasMore ? ' and more' : ''}` : '';
    fill(state, footer(length));
    const back = opened ? list.rows.findIndex(({ order }) => order.id === opened) : -1;
    if (back >= 0) {
      opened = null;
      select(back);
    }
  }

  // What stands below the rows.
  function footer(length) {
    if (list.error) return notice(list.error, list.loadMore);
    if (list.isLoading) return el('p.empty', 'Reading…');
    if (length >= MAX_ROWS) {
      return el('p.empty', `The newest ${MAX_ROWS.toLocaleString()}. Narrow the list to see older ones.`);
    }
    if (length) return null;
    return writeFilter(filter).size
      ? el('p.empty', 'No order matches. ', el('a', { href: '/console/orders' }, 'Show all'))
      : el(
          'p.empty',
          'No orders yet: the first one appears here. ',
          el('a', { href: '/console/shop' }, 'Open the shop'),
        );
  }

  function render({ order, mark, isLeaving }, index) {
    const cell = (name, ...content) => el(`span.${name}`, { role: 'cell' }, content);
    const link = el(
      'a',
      {
        href: orderPath(order.id),
        onclick: () => {
          opened = order.id;
        },
        onfocus: () => {
          selected = index;
        },
      },
      shortId(order.id),
    );
    return el(
      'div.row',
      { role: 'row', 'aria-rowindex': index + 2, 'data-id': order.id, 'data-mark': mark, 'data-leaving': isLeaving },
      cell('state', status(order.status), mark && el('span.tag', mark)),
      cell('id', link, demoTag(order)),
      cell('customer', order.customerId),
      cell('goods', goods(order)),
      cell('total', money(order.totalAmount)),
      cell('placed', time(order.createdAt)),
    );
  }

  function select(index) {
    selected = Math.max(0, Math.min(index, list.rows.length - 1));
    rows.reveal(selected)?.querySelector('a').focus({ preventScroll: true });
  }

  offer({
    down: () => list.rows.length && select(selected + 1),
    up: () => list.rows.length && select(selected - 1),
    open: () => list.rows[selected] && go(orderPath(list.rows[selected].order.id)),
    search: () => {
      form.querySelector('details').open = true;
      form.querySelector('input').focus();
    },
    back: () => location.search && go('/console/orders'),
  });
  open();
  const stops = [
    live.stateChanged.on(() => {
      if (list.error && live.state.name === 'live') list.loadMore();
    }),
    rows.close,
  ];
  return () => [...stops, list.close].forEach((stop) => stop());
}
