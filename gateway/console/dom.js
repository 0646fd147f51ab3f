// Elements from data. Every text becomes a text node: nothing that an order holds is ever read as markup.

// el('button.primary', { onclick: ship }, 'Ship') is <button class="primary">Ship</button>; null, undefined, false and '' are left out.
export function el(tag, ...parts) {
  const [name, ...classes] = tag.split('.');
  return add(document.createElement(name), { class: classes.join(' ') || null }, parts);
}

export const svg = (name, ...parts) => add(document.createElementNS('http://www.w3.org/2000/svg', name), parts);

export function fill(node, ...parts) {
  node.replaceChildren();
  add(node, parts);
}

function add(node, ...parts) {
  for (const part of parts.flat(Infinity)) {
    if (part?.constructor === Object) Object.entries(part).forEach(([key, value]) => set(node, key, value));
    else if (part || part === 0) node.append(part);
  }
  return node;
}

function set(node, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
  else if (key in node && typeof value !== 'string') node[key] = value;
  else node.setAttribute(key, value === true ? '' : value);
}

export const field = (label, control) => el('label', el('span', label), control);
export const pairs = (...entries) =>
  el(
    'dl',
    entries.map((entry) => entry && [el('dt', entry[0]), el('dd', entry.slice(1))]),
  );

// Runs `work` once before the next frame, however often it is asked for; hidden pages have no frames.
export function onFrame(work) {
  let asked = false;
  const run = () => {
    asked = false;
    work();
  };
  return () => {
    if (asked) return;
    asked = true;
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  };
}
