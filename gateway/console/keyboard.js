// Keys: j and k move through a list, Enter opens, / searches, Esc goes back. The view says what each does.

const ACTIONS = { j: 'down', k: 'up', Enter: 'open', '/': 'search', Escape: 'back' };
let offered = {};

export function offer(actions) {
  offered = actions;
}

document.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches('input, textarea, select')) return key === 'Escape' && target.blur();
  // Links and buttons have an Enter of their own.
  const action = target.matches('a, button, summary') && key === 'Enter' ? null : offered[ACTIONS[key]];
  if (!action) return;
  event.preventDefault();
  action();
});
