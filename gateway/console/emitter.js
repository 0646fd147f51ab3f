// Listeners of one kind of event; `on` returns what takes the listener away.
export function emitter() {
  const listeners = new Set();
  return {
    on: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    emit: (value) => [...listeners].forEach((listener) => listener(value)),
  };
}
