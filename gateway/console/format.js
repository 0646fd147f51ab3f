// What people read: money, instants in the reader's zone, ids, statuses.
import { el } from './dom.js';

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

export const STATUSES = ['PENDING', 'PROCESSING', 'SHIPPED', 'DELIVERED', 'CANCELLED', 'REJECTED'];

// Decimals go to Intl as strings: no amount passes through a float.
export const money = (value) =>
  value
    ? new Intl.NumberFormat(undefined, { style: 'currency', currency: value.currencyCode }).format(value.amount)
    : '–';

// The exact sum of { unitPrice, quantity } in one currency.
export function total(items) {
  const digits = Math.max(...items.map(({ unitPrice }) => (unitPrice.amount.split('.')[1] ?? '').length));
  const sum = items.reduce((sum, { unitPrice, quantity }) => {
    const [units, fraction = ''] = unitPrice.amount.split('.');
    return sum + BigInt(units + fraction.padEnd(digits, '0')) * BigInt(quantity);
  }, 0n);
  const text = String(sum).padStart(digits + 1, '0');
  const at = text.length - digits;
  return {
    amount: digits ? `${text.slice(0, at)}.${text.slice(at)}` : text,
    currencyCode: items[0].unitPrice.currencyCode,
  };
}

export function time(iso) {
  const at = new Date(iso);
  const short = at.toDateString() === new Date().toDateString() ? clock : day;
  return el('time', { datetime: iso, title: full.format(at) }, short.format(at));
}

// The end of an id: those of orders that were placed together begin alike.
export const shortId = (id) => `…${id.slice(-8)}`;
export const words = (constant) => constant.toLowerCase().replaceAll('_', ' ');
export const status = (name) => el('span.status', { 'data-status': name }, words(name));
export const demoTag = (order) => order.shippingAddress?.startsWith('[demo]') && el('span.tag', 'demo');

export function goods({ lineItems: [first, ...others] }) {
  return `${first.quantity} × ${first.productName ?? first.productId}${others.length ? ` and ${others.length} more` : ''}`;
}
