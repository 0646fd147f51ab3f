// The catalogue, the basket, and the viewer's latest orders.
import { request } from './api.js';
import { drawBasket } from './basket-form.js';
import * as shop from './basket.js';
import { PRODUCTS } from './documents.js';
import { el, field, fill, onFrame } from './dom.js';
import { goods, money, shortId, status } from './format.js';
import { offer } from './keyboard.js';
import * as live from './live.js';
import { notice } from './notice.js';
import { MARK_MS, orderList } from './order-list.js';
import { orderPath } from './router.js';
import { can, session } from './session.js';

// Stock is read again so long after an update, and at this pace for the orders that the viewer doesn't see.
const [AFTER_UPDATE_MS, EVERY_MS] = [400, 5_000];
const LATEST = 5;

export function shopView(main) {
  const [state, grid, basket, latest] = [
    el('div'),
    el('ul.products'),
    el('section.basket', { 'aria-label': 'Basket' }),
    el('section', { 'aria-label': 'Your latest orders' }),
  ];
  const search = el('input', { type: 'search', autocomplete: 'off', oninput: soon });
  const mine = orderList({ statuses: [], customer: session.viewer.customerId });
  // `asked` counts the reads: older answers that come late are ignored.
  let [products, pages, hasMore, error, timer, asked] = [null, 1, false, null, null, 0];
  fill(
    main,
    el('div.title', el('h1', 'Shop')),
    el(
      'div.columns.shop',
      el('section', field('Search the catalogue', search), state, grid),
      el('div.aside', can('orders:write') && basket, latest),
    ),
  );
  offer({ search: () => search.focus() });

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(read, AFTER_UPDATE_MS);
  }

  async function read() {
    const number = (asked += 1);
    clearTimeout(timer);
    try {
      const found = [];
      let page = { endCursor: null, hasNextPage: true };
      while (page.hasNextPage && found.length < pages * 100) {
        const { data } = await request(PRODUCTS, { after: page.endCursor, search: search.value });
        found.push(...data.products.nodes);
        page = data.products.pageInfo;
      }
      if (number !== asked) return;
      [products, hasMore, error] = [found, page.hasNextPage, null];
    } catch (failure) {
      if (number !== asked) return;
      error = failure;
    }
    timer = setTimeout(read, EVERY_MS);
    drawProducts();
  }

  function drawProducts() {
    fill(state, error && notice(error, read), products?.length === 0 && el('p.empty', 'No product is here.'));
    const cards = new Map([...grid.children].map((card) => [card.dataset.id, card]));
    const next = (products ?? []).map((product) => {
      const known = cards.get(product.id);
      const made = JSON.stringify(product);
      if (known?.made === made) return known;
      return Object.assign(productCard(product, known && known.stock !== product.availableQuantity), {
        made,
        stock: product.availableQuantity,
      });
    });
    // Cards that have not changed stay where they are, with their focus.
    next.forEach((card, at) => grid.children[at] === card || grid.insertBefore(card, grid.children[at] ?? null));
    while (grid.children.length > next.length) grid.lastChild.remove();
    if (hasMore)
      state.append(
        el(
          'button',
          {
            type: 'button',
            onclick: () => {
              pages += 1;
              read();
            },
          },
          'Show more',
        ),
      );
  }

  function drawLatest() {
    fill(
      latest,
      el('h2', 'Your latest orders'),
      mine.error && notice(mine.error, mine.loadMore),
      !mine.rows.length && !mine.error && el('p.empty', mine.isLoading ? 'Reading…' : 'None yet.'),
      mine.rows
        .slice(0, LATEST)
        .map(({ order, mark }) =>
          el(
            'p.latest',
            { 'data-mark': mark },
            el('a', { href: orderPath(order.id) }, shortId(order.id)),
            el('span', goods(order)),
            status(order.status),
          ),
        ),
    );
  }

  const stops = [
    shop.changed.on(() => drawBasket(basket)),
    mine.changed.on(onFrame(drawLatest)),
    live.updates.on(soon),
    mine.close,
    live.stateChanged.on(() => {
      if (mine.error && live.state.name === 'live') mine.loadMore();
    }),
  ];
  shop.load();
  mine.loadMore();
  read();
  return () => {
    asked += 1;
    clearTimeout(timer);
    stops.forEach((stop) => stop());
  };
}

function productCard({ id: productId, name, description, unitPrice, availableQuantity }, isMarked) {
  const stock = el(
    'span.stock',
    { 'data-low': availableQuantity < 10, 'data-mark': isMarked },
    availableQuantity ? `${availableQuantity.toLocaleString()} in stock` : 'sold out',
  );
  setTimeout(() => stock.removeAttribute('data-mark'), MARK_MS);
  const quantity = () => shop.basket.items.find((item) => item.productId === productId)?.quantity ?? 0;
  return el(
    'li.product',
    { 'data-id': productId },
    el('h2', name),
    el('p', description),
    el(
      'p.offer',
      el('strong', money(unitPrice)),
      stock,
      can('orders:write') &&
        el(
          'button',
          {
            type: 'button',
            disabled: !availableQuantity,
            'aria-label': `Add ${name}`,
            onclick: () => shop.setQuantity({ productId, name, unitPrice, quantity: 1 }, quantity() + 1),
          },
          'Add',
        ),
    ),
  );
}
