// One connection of the graphql-transport-ws protocol; live.js connects again.

const PING_EVERY_MS = 10_000;
const PONG_WITHIN_MS = 5_000;
// A gateway that starts keeps sockets waiting for some seconds.
const ACK_WITHIN_MS = 20_000;

// Calls onAck(), onMessage(message) for next, error and complete, and last, once, onClose(code, reason).
export function openSocket(token, { onAck, onMessage, onClose }) {
  const socket = new WebSocket(new URL('/graphql', location.href.replace('http', 'ws')), 'graphql-transport-ws');
  const send = (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
  const ended = new AbortController();
  let [deadline, pings] = [setTimeout(close, ACK_WITHIN_MS, 0, 'no answer to the connection'), null];

  // A network that is gone, or a laptop that slept, closes no socket: only a missing answer shows it.
  function ping() {
    clearTimeout(deadline);
    deadline = setTimeout(close, PONG_WITHIN_MS, 0, 'the connection went silent');
    send({ type: 'ping' });
  }

  function close(code, reason) {
    if (ended.signal.aborted) return;
    ended.abort();
    clearTimeout(deadline);
    clearInterval(pings);
    socket.close();
    onClose(code, reason);
  }

  const on = (target, type, listener) => target.addEventListener(type, listener, { signal: ended.signal });
  on(socket, 'open', () => send({ type: 'connection_init', payload: { authorization: token && `Bearer ${token}` } }));
  on(socket, 'close', ({ code, reason }) => close(code, reason));
  on(socket, 'message', ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'ping') return send({ type: 'pong' });
    if (message.type === 'pong') return clearTimeout(deadline);
    if (message.type !== 'connection_ack') return onMessage(message);
    clearTimeout(deadline);
    pings = setInterval(ping, PING_EVERY_MS);
    onAck();
  });
  on(window, 'offline', () => close(0, 'the network is gone'));
  on(document, 'visibilitychange', () => pings && !document.hidden && ping());
  return { close, subscribe: (id, query, variables) => send({ type: 'subscribe', id, payload: { query, variables } }) };
}
