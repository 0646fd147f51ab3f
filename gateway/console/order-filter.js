// The filter of a list of orders: in the address, and as a form.
import { el, field } from './dom.js';
import { STATUSES, words } from './format.js';
import { seesAll } from './session.js';

const TEXTS = { customer: 'Customer', product: 'Product', tracking: 'Tracking number' };
const TIMES = { from: 'Placed from', before: 'Placed before' };
const WRITING_MS = 300;

export function readFilter(query) {
  const filter = { statuses: (query.get('status') ?? '').split(',').filter((name) => STATUSES.includes(name)) };
  for (const name of Object.keys(TEXTS)) filter[name] = query.get(name)?.trim() ?? '';
  for (const name of Object.keys(TIMES))
    filter[name] = Date.parse(query.get(name)) ? new Date(query.get(name)).toISOString() : '';
  return filter;
}

export function writeFilter({ statuses, ...texts }) {
  const query = new URLSearchParams(statuses.length ? { status: statuses } : {});
  Object.entries(texts).forEach(([name, value]) => value && query.set(name, value));
  return query;
}

// Changes the filter in place.
export function filterForm(filter, onChange) {
  let pause;
  const text = ([name, label]) =>
    field(
      label,
      el('input', {
        type: 'search',
        value: filter[name],
        autocomplete: 'off',
        spellcheck: 'false',
        oninput({ target }) {
          filter[name] = target.value.trim();
          clearTimeout(pause);
          pause = setTimeout(onChange, WRITING_MS);
        },
      }),
    );
  const instant = ([name, label]) =>
    field(
      label,
      el('input', {
        type: 'datetime-local',
        step: '1',
        value: filter[name] && local(filter[name]),
        onchange({ target }) {
          filter[name] = target.value && new Date(target.value).toISOString();
          onChange();
        },
      }),
    );
  const chip = (name) =>
    el(
      'button.chip',
      {
        type: 'button',
        'data-status': name,
        'aria-pressed': `${filter.statuses.includes(name)}`,
        onclick({ currentTarget }) {
          const isOn = !filter.statuses.includes(name);
          filter.statuses = STATUSES.filter((other) => (other === name ? isOn : filter.statuses.includes(other)));
          currentTarget.setAttribute('aria-pressed', `${isOn}`);
          onChange();
        },
      },
      words(name),
    );
  const texts = Object.entries(TEXTS).filter(([name]) => name !== 'customer' || seesAll());
  return el(
    'form.filters',
    { role: 'search', 'aria-label': 'Filter orders', onsubmit: (event) => event.preventDefault() },
    el('div.chips', { role: 'group', 'aria-label': 'Status' }, STATUSES.map(chip)),
    el(
      'details',
      { open: writeFilter({ ...filter, statuses: [] }).size > 0 },
      el('summary', 'More filters'),
      el('div.fields', texts.map(text), Object.entries(TIMES).map(instant)),
    ),
  );
}

// In the reader's zone, as the control has it.
function local(iso) {
  const at = new Date(iso);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
