// What the updates of the last minutes say, in buckets of a few seconds by the gateway's clock.
import { serverNow } from './api.js';
import { updates } from './live.js';

export const BUCKET_MS = 5_000;
export const BUCKETS = 60;
const empty = () => ({ placed: 0, reached: {}, decisions: [] });
const buckets = new Map();

updates.on(({ kind, status, previousStatus, occurredAt, order }) => {
  const number = Math.floor(Date.parse(occurredAt) / BUCKET_MS);
  if (!buckets.has(number)) buckets.set(number, empty());
  if (buckets.size > 4 * BUCKETS) buckets.delete(Math.min(...buckets.keys()));
  const bucket = buckets.get(number);
  if (!bucket) return;
  const isNew = kind === 'CREATED';
  if (isNew) bucket.placed += 1;
  if (isNew || status !== previousStatus) bucket.reached[status] = (bucket.reached[status] ?? 0) + 1;
  const isDecided = status !== 'PENDING' && (isNew || previousStatus === 'PENDING');
  if (isDecided && order) bucket.decisions.push(Math.max(0, Date.parse(occurredAt) - Date.parse(order.createdAt)));
});

export const clear = () => buckets.clear();

// The last buckets, oldest first, each { placed, reached: { status: count }, decisions: [ms] }; the newest is still filling.
export function recent() {
  const last = Math.floor(serverNow() / BUCKET_MS);
  return Array.from({ length: BUCKETS }, (_, index) => buckets.get(last - BUCKETS + 1 + index) ?? empty());
}

// The value that this share of the values does not exceed; 0 if there are none.
export const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? 0;
