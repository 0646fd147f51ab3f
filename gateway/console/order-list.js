// A filtered list of orders, newest first, that is read page by page and kept exact by the updates.
import { ORDERS } from './documents.js';
import { emitter } from './emitter.js';
import { read } from './live.js';
import { seesAll } from './session.js';
import * as store from './store.js';

export const MAX_ROWS = 10_000;
// How long a change is marked, and how long an order stays that no longer matches.
export const MARK_MS = 2_500;

// `filter` has `statuses`, empty for all, and customer, product, tracking, from and before (ISO), empty for any.
export function orderList({ statuses, customer, product, tracking, from, before }) {
  const changed = emitter();
  // Rows are { order, mark, isLeaving }.
  const list = { rows: [], changed, hasMore: true, isLoading: false, error: null, loadMore, close };
  const byId = new Map();
  let [after, isClosed] = [null, false];
  // Changes that came while a page was read, which may be older than they.
  const missed = new Map();

  async function loadMore() {
    if (list.isLoading || !list.hasMore || list.rows.length >= MAX_ROWS) return;
    Object.assign(list, { isLoading: true, error: null });
    changed.emit();
    try {
      const { data } = await read(ORDERS, {
        first: 100,
        after,
        all: seesAll() && !customer,
        customer: customer || null,
        statuses: statuses.length ? statuses : null,
        product: product || null,
        tracking: tracking || null,
        from: from || null,
        before: before || null,
      });
      const { nodes, pageInfo } = data.orders;
      after = pageInfo.endCursor ?? after;
      list.hasMore = pageInfo.hasNextPage;
      // What is known of an order may be newer than what was read.
      nodes.map((order) => store.merge(order)).forEach((order) => order && matches(order) && insert(order));
      missed.forEach((isLive, id) => onChange({ id, order: store.get(id), isLive }));
      missed.clear();
    } catch (error) {
      list.error = error;
    }
    list.isLoading = false;
    if (!isClosed) changed.emit();
  }

  const matches = (order) =>
    (!statuses.length || statuses.includes(order.status)) &&
    (!customer || order.customerId === customer) &&
    (!product || order.lineItems.some(({ productId }) => productId === product)) &&
    (!tracking || order.trackingNumber === tracking) &&
    (!from || Date.parse(order.createdAt) >= Date.parse(from)) &&
    (!before || Date.parse(order.createdAt) < Date.parse(before));

  function onChange({ id, order, previous, isLive }) {
    const row = byId.get(id);
    if (order && matches(order)) {
      // Beyond what has been read, its page will bring it.
      if (!row && list.hasMore && !(newerFirst(order, list.rows.at(-1)?.order) < 0))
        return list.isLoading && missed.set(id, isLive);
      const kept = row ?? insert(order);
      Object.assign(kept, { order, isLeaving: false });
      if (isLive) mark(kept, previous ? 'changed' : 'new');
    } else if (row) {
      Object.assign(row, { order: order ?? row.order, isLeaving: true });
      mark(row, order ? 'changed' : 'deleted');
    }
    changed.emit();
  }

  function insert(order) {
    if (byId.has(order.id)) return byId.get(order.id);
    const { rows } = list;
    const row = { order, mark: null, isLeaving: false, timer: null };
    byId.set(order.id, row);
    // Orders come at either end, where the search for their place begins.
    let at = newerFirst(order, rows[0]?.order) < 0 ? 0 : rows.length;
    while (at > 0 && newerFirst(order, rows[at - 1].order) < 0) at -= 1;
    rows.splice(at, 0, row);
    if (rows.length > MAX_ROWS) forget(rows.at(-1));
    return row;
  }

  function mark(row, kind) {
    clearTimeout(row.timer);
    row.mark = kind;
    row.timer = setTimeout(() => {
      row.mark = null;
      if (row.isLeaving) forget(row);
      changed.emit();
    }, MARK_MS);
  }

  function forget(row) {
    if (!byId.delete(row.order.id)) return;
    list.rows.splice(list.rows.indexOf(row), 1);
  }

  const stop = store.changes.on(onChange);
  function close() {
    isClosed = true;
    stop();
  }
  return list;
}

// Lists are ordered by the time of placing and the id.
const newerFirst = (a, b) => b && (b.createdAt.localeCompare(a.createdAt) || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
