// A list of which only the rows in sight are in the page: ten thousand scroll as ten do. All are as high as --row says.
import { onFrame } from './dom.js';

// Rows beyond either edge that are there before they are scrolled to.
const OVERSCAN = 8;

// `render(item, index)` makes a row, anew when `signature(item)` has changed; onEnd() is called near the end.
export function windowList(container, { key, signature, render, onEnd }) {
  const shown = new Map();
  let [items, height] = [[], 0];
  const top = () => container.getBoundingClientRect().top;

  function update(next) {
    // What is in sight stays where it is when rows come above it.
    const first = items[Math.floor(-top() / height)];
    const before = items.indexOf(first);
    items = [...next];
    measure();
    const moved = before < 0 ? -1 : items.indexOf(first) - before;
    if (moved > 0) scrollBy({ top: moved * height, behavior: 'instant' });
    draw();
  }

  function measure() {
    height = parseFloat(getComputedStyle(container).getPropertyValue('--row'));
    container.style.height = `${items.length * height}px`;
  }

  function draw() {
    if (!container.isConnected) return;
    const from = Math.max(0, Math.floor(-top() / height) - OVERSCAN);
    const to = Math.min(items.length, Math.ceil((innerHeight - top()) / height) + OVERSCAN);
    const inSight = new Set(items.slice(from, to).map(key));
    shown.forEach((row, id) => inSight.has(id) || (row.node.remove(), shown.delete(id)));
    for (let index = from; index < to; index += 1) {
      const made = `${index} ${signature(items[index])}`;
      const id = key(items[index]);
      let row = shown.get(id);
      if (row?.made !== made) {
        const node = render(items[index], index);
        const hadFocus = row?.node.contains(document.activeElement);
        row?.node.replaceWith(node);
        row = { node, made };
        shown.set(id, row);
        if (hadFocus) node.querySelector('a').focus({ preventScroll: true });
      }
      row.node.style.transform = `translateY(${index * height}px)`;
      // In the order in which they are seen, without moving those that are in place.
      const place = container.children[index - from] ?? null;
      if (place !== row.node) container.insertBefore(row.node, place);
    }
    if (to >= items.length - OVERSCAN) onEnd();
  }

  // Brings a row into sight and returns it.
  function reveal(index) {
    const above = top() + index * height - document.querySelector('header').offsetHeight;
    const below = top() + (index + 1) * height - innerHeight;
    if (above < 0 || below > 0) scrollBy({ top: above < 0 ? above : below, behavior: 'instant' });
    draw();
    return shown.get(key(items[index]))?.node;
  }

  const onScroll = onFrame(draw);
  const onResize = () => {
    measure();
    draw();
  };
  addEventListener('scroll', onScroll, { passive: true });
  addEventListener('resize', onResize);
  function close() {
    removeEventListener('scroll', onScroll);
    removeEventListener('resize', onResize);
  }
  return { update, reveal, close };
}
