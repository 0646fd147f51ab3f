// The address bar: /console/shop, /console/orders?status=SHIPPED, /console/orders/ID, /console/now.
import { emitter } from './emitter.js';

export const navigated = emitter();
export const orderPath = (id) => `/console/orders/${encodeURIComponent(id)}`;

export function route() {
  const [, , view, id] = location.pathname.split('/');
  return { view, id: id && decodeURIComponent(id), query: new URLSearchParams(location.search) };
}

export function go(path) {
  history.pushState(null, '', path);
  navigated.emit();
}

// Changes the query alone: the view goes on as it is.
export function setQuery(query) {
  history.replaceState(null, '', `${location.pathname}?${query}`.replace(/\?$/, ''));
}

window.addEventListener('popstate', navigated.emit);

// Links within the console open in place, unless they are asked for elsewhere.
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="/console"]');
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(link.getAttribute('href'));
});
