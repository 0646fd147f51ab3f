// What happens now: small plots of the last minutes, the subscription, and demo orders.
import { placeDemoOrders } from './demo.js';
import { el, field, fill, pairs, svg } from './dom.js';
import { STATUSES, words } from './format.js';
import * as live from './live.js';
import { BUCKET_MS, BUCKETS, quantile, recent } from './measures.js';
import { notice } from './notice.js';
import { can, session } from './session.js';

const [WIDTH, HEIGHT] = [240, 48];
const number = (value) => value.toLocaleString(undefined, { maximumFractionDigits: 1 });
const duration = (ms) => (ms < 1000 ? `${ms} ms` : `${number(ms / 1000)} s`);

export function nowView(main) {
  const [plots, link] = [el('div.plots'), el('section')];
  const hasDemo = session.identities.length > 0 && can('orders:write');
  fill(
    main,
    el('div.title', el('h1', 'Now'), el('p.fine', `the last ${(BUCKETS * BUCKET_MS) / 60_000} minutes`)),
    plots,
    el('div.columns', link, hasDemo && demoForm()),
  );

  function draw() {
    const buckets = recent();
    const decisions = buckets.flatMap((bucket) => bucket.decisions);
    const perSecond = (counts) => counts.map((count) => (count * 1000) / BUCKET_MS);
    const placed = perSecond(buckets.map((bucket) => bucket.placed));
    fill(
      plots,
      plot('Orders placed', placed, `${number(placed.at(-2))} per second`),
      plot(
        'Decided in',
        buckets.map((bucket) => quantile(bucket.decisions, 0.5)),
        decisions.length ? `${duration(quantile(decisions, 0.5))}, p95 ${duration(quantile(decisions, 0.95))}` : '–',
      ),
      STATUSES.map((name) => {
        const counts = buckets.map(({ reached }) => reached[name] ?? 0);
        return plot(`To ${words(name)}`, perSecond(counts), number(counts.reduce((a, b) => a + b)), name);
      }),
    );
    const { name, received, interruptions, cursor } = live.state;
    fill(
      link,
      el('h2', 'Subscription'),
      pairs(
        ['State', name],
        ['Updates', number(received)],
        ['Interruptions', number(interruptions)],
        ['Resumes after', el('code', cursor ?? 'its start')],
      ),
    );
  }

  draw();
  const timer = setInterval(draw, 1_000);
  const stop = live.stateChanged.on(draw);
  return () => {
    clearInterval(timer);
    stop();
  };
}

function plot(name, values, says, status) {
  const most = Math.max(...values) || 1;
  const points = values
    .map((value, at) => `${(at * WIDTH) / (values.length - 1)},${HEIGHT - 2 - (value / most) * (HEIGHT - 6)}`)
    .join(' ');
  return el(
    'figure',
    { 'data-status': status },
    el('figcaption', name, el('strong', says)),
    svg(
      'svg',
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${name}: ${says}`, preserveAspectRatio: 'none' },
      svg('polygon', { points: `0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}` }),
      svg('polyline', { points, 'vector-effect': 'non-scaling-stroke' }),
    ),
  );
}

function demoForm() {
  const count = el('input', { type: 'number', min: 1, max: 500, value: '20', required: true });
  const [button, says, problem] = [
    el('button.primary', { type: 'submit' }, 'Place demo orders'),
    el('p.fine', { role: 'status' }),
    el('div'),
  ];
  async function place(event) {
    event.preventDefault();
    button.disabled = true;
    let placed = 0;
    fill(problem);
    try {
      await placeDemoOrders(Number(count.value), () => {
        says.textContent = `${(placed += 1)} placed`;
      });
    } catch (error) {
      fill(problem, notice(error));
    }
    button.disabled = false;
  }
  return el(
    'form',
    { onsubmit: place },
    el('h2', 'Demo orders'),
    field('How many, of random goods', count),
    button,
    says,
    problem,
  );
}
