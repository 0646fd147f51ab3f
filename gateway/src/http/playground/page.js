(function () {
  'use strict';

  const config = JSON.parse(document.getElementById('playground-config').textContent);
  const container = document.getElementById('playground');
  if (!window.React || !window.ReactDOM || !window.GraphiQL || !window.graphqlWs) {
    container.textContent = 'The playground’s files could not be loaded. The API itself is at /graphql.';
    return;
  }

  const socketUrl = new URL('/graphql', window.location.href);
  socketUrl.protocol = socketUrl.protocol === 'https:' ? 'wss:' : 'ws:';

  // The headers editor as it was when the latest operation started; a new socket signs in with it.
  let headers = {};
  const socket = graphqlWs.createClient({
    url: socketUrl.href,
    connectionParams: function () {
      const name = Object.keys(headers).find(function (name) {
        return name.toLowerCase() === 'authorization';
      });
      return name ? { authorization: headers[name] } : {};
    },
  });
  const fetcher = GraphiQL.createFetcher({ url: '/graphql', wsClient: socket });

  // Kept in memory: a token or a tab of an earlier visit would only stand in the way of this one's.
  const kept = new Map();
  const storage = {
    get length() { return kept.size; },
    getItem: function (key) { return kept.has(key) ? kept.get(key) : null; },
    setItem: function (key, value) { kept.set(key, String(value)); },
    removeItem: function (key) { kept.delete(key); },
    clear: function () { kept.clear(); },
  };

  const defaultHeaders = config.token
    ? JSON.stringify({ Authorization: 'Bearer ' + config.token }, null, 2)
    : undefined;

  function linkToConsole() {
    const link = React.createElement('a', { className: 'graphiql-logo-link', href: '/console' }, 'Console');
    return React.createElement(GraphiQL.Logo, null, link);
  }

  const root = ReactDOM.createRoot(container);
  function render(hasConsole) {
    root.render(
      React.createElement(GraphiQL, {
        fetcher: function (params, options) {
          headers = (options && options.headers) || {};
          return fetcher(params, options);
        },
        storage: storage,
        shouldPersistHeaders: false,
        defaultEditorToolsVisibility: 'variables',
        defaultHeaders: defaultHeaders,
        defaultTabs: config.tabs.map(function (tab) {
          return { query: tab.query, variables: tab.variables, headers: defaultHeaders };
        }),
      }, hasConsole ? linkToConsole() : null)
    );
  }

  fetch('/console', { method: 'HEAD' }).then(
    function (answer) { render(answer.ok); },
    function () { render(false); }
  );
})();
