// The basket as a form, and what became of the order that was placed with it.
import { basket, place, setAddress, setQuantity } from './basket.js';
import { el, field, fill } from './dom.js';
import { money, shortId, total } from './format.js';
import { notice } from './notice.js';
import { orderPath } from './router.js';

export function drawBasket(node) {
  const { items, errors, placed } = basket;
  const link = placed && el('a', { href: orderPath(placed) }, `order ${shortId(placed)}`);
  fill(
    node,
    el('h2', 'Basket'),
    placed && el('p.done', { role: 'status' }, 'Placed: ', link),
    !placed && !items.length && el('p.empty', 'Empty: add something from the catalogue.'),
    items.length > 0 && form(basket),
    errors.length > 0 && notice(errors),
  );
}

function form({ items, address, key, isPlacing, tries }) {
  // Until it is known what became of it, an order stays as it was sent.
  const disabled = Boolean(key);
  const onsubmit = (event) => {
    event.preventDefault();
    place();
  };
  const onchange = ({ target }) => setAddress(target.value);
  const text = { rows: 2, maxlength: 500, disabled, placeholder: 'your own address', onchange };
  return el(
    'form',
    { onsubmit },
    items.map((item) => line(item, disabled)),
    el('p.sum', 'Total', el('strong', money(total(items)))),
    field('Ship to', el('textarea', text, address)),
    el('button.primary', { type: 'submit', disabled: isPlacing }, label(isPlacing, disabled)),
    isPlacing && tries > 1 && el('p.fine', { role: 'status' }, 'No answer yet. Asking again, which orders once.'),
    disabled && !isPlacing && el('p.fine', 'It isn’t known whether the order was placed. Asking again orders once.'),
  );
}

function label(isPlacing, isUnknown) {
  if (isPlacing) return 'Placing…';
  return isUnknown ? 'Ask again' : 'Place order';
}

function line(item, disabled) {
  const { name, quantity } = item;
  const onchange = ({ target }) => setQuantity(item, Number(target.value));
  const input = { type: 'number', min: 0, max: 10_000, value: `${quantity}`, disabled, onchange };
  return el(
    'p.item',
    el('span', name),
    el('input', { ...input, 'aria-label': `Quantity of ${name}` }),
    el('span.number', money(total([item]))),
  );
}
