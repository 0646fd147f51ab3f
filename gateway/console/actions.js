// What can be done with an order, by its state and the token's scopes.
import { request } from './api.js';
import { CANCEL, UPDATE } from './documents.js';
import { words } from './format.js';
import { can } from './session.js';
import * as store from './store.js';

const ACTIONS = [
  {
    name: 'ship',
    label: 'Ship',
    done: 'Shipped',
    look: 'primary',
    scope: 'orders:fulfil',
    from: ['PROCESSING'],
    status: 'SHIPPED',
    fields: [
      ['trackingCompany', 'Carrier', 100],
      ['trackingNumber', 'Tracking number', 100],
    ],
  },
  {
    name: 'deliver',
    label: 'Mark as delivered',
    done: 'Delivered',
    look: 'primary',
    scope: 'orders:fulfil',
    from: ['SHIPPED'],
    status: 'DELIVERED',
    fields: [],
  },
  {
    name: 'address',
    label: 'Change address',
    done: 'Address changed',
    look: '',
    scope: 'orders:write',
    from: ['PENDING', 'PROCESSING'],
    fields: [['shippingAddress', 'Address', 500]],
  },
  {
    name: 'cancel',
    label: 'Cancel order',
    done: 'Cancelled',
    look: 'danger',
    scope: 'orders:write',
    from: ['PENDING', 'PROCESSING'],
    fields: [],
  },
];

export const isAllowed = (action, order) => action.from.includes(order.status) && can(action.scope);
export const actionsOf = (order) => ACTIONS.filter((action) => isAllowed(action, order));

// Changes this version of the order and no other; returns the errors of the input, or throws an ApiError.
export async function apply({ name, status }, { id, version }, values) {
  const input = { id, expectedVersion: version, ...(name !== 'cancel' && { ...values, status }) };
  const { payload } = (await request(name === 'cancel' ? CANCEL : UPDATE, { input })).data;
  if (payload.order) store.merge(payload.order, true);
  return payload.userErrors;
}

const SHOWN = {
  status: 'Status',
  shippingAddress: 'Address',
  trackingCompany: 'Carrier',
  trackingNumber: 'Tracking number',
};

// What two versions of an order differ in, as [label, before, after].
export function differences(before, after) {
  const shown = (order, name) => (name === 'status' ? words(order.status) : (order[name] ?? 'none'));
  return Object.entries(SHOWN)
    .filter(([name]) => before[name] !== after[name])
    .map(([name, label]) => [label, shown(before, name), shown(after, name)]);
}
