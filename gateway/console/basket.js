// What a customer is about to order. One idempotency key names one attempt until it is decided: a double click, a lost answer
// or a reload order once.
import { request } from './api.js';
import { CREATE } from './documents.js';
import { emitter } from './emitter.js';
import { session } from './session.js';
import * as store from './store.js';

const TRIES = 6;

export const changed = emitter();
// Items are { productId, name, unitPrice, quantity }. While there is a key, it isn't known what became of the attempt, and the
// content has to stay as it was sent.
export const basket = { items: [], address: '', key: null, isPlacing: false, tries: 0, errors: [], placed: null };
const slot = () => `waybill-basket-${session.viewer?.customerId}`;

// Reads the viewer's basket, which is kept while the window is open.
export function load() {
  const { items = [], address = '', key = null } = JSON.parse(sessionStorage.getItem(slot()) ?? '{}');
  set({ items, address, key, tries: 0, errors: [], placed: null });
}

function set(values) {
  Object.assign(basket, values);
  const { items, address, key } = basket;
  sessionStorage.setItem(slot(), JSON.stringify({ items, address, key }));
  changed.emit();
}

export function setQuantity(item, quantity) {
  if (basket.key) return;
  const known = basket.items.some(({ productId }) => productId === item.productId);
  const items = known ? basket.items : [...basket.items, item];
  set({
    errors: [],
    placed: null,
    items: items
      .map((other) => (other.productId === item.productId ? { ...other, quantity } : other))
      .filter((other) => other.quantity > 0),
  });
}

export const setAddress = (address) => basket.key || set({ address });

export async function place() {
  if (basket.isPlacing) return;
  set({ key: basket.key ?? randomKey(), isPlacing: true, errors: [], placed: null });
  const input = {
    items: basket.items.map(({ productId, quantity }) => ({ productId, quantity })),
    shippingAddress: basket.address.trim() || null,
    idempotencyKey: basket.key,
  };
  try {
    const { order, userErrors } = await create(input, (tries) => set({ tries }));
    set(order ? { key: null, items: [], address: '', placed: order.id } : { key: null, errors: userErrors });
  } catch (error) {
    // Certainly nothing was done: the next attempt may be another one.
    const isKnown = error.outcome !== 'UNKNOWN';
    set({ errors: [error], key: isKnown ? null : basket.key });
  }
  set({ isPlacing: false });
}

// Sends an input with its key again and again until it is decided or the tries are used up.
export async function create(input, onTry = () => {}) {
  for (let tries = 1; ; tries += 1) {
    try {
      onTry(tries);
      const { payload } = (await request(CREATE, { input })).data;
      if (payload.order) store.merge(payload.order, true);
      return payload;
    } catch (error) {
      if (tries === TRIES || !(error.retryable || error.outcome === 'UNKNOWN')) throw error;
      await new Promise((done) => setTimeout(done, 250 * 2 ** tries));
    }
  }
}

// crypto.randomUUID is missing from pages that came over plain HTTP from another machine.
export const randomKey = () => crypto.getRandomValues(new Uint32Array(4)).join('-');
