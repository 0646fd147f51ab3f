// A headless Chromium with an empty profile, by the DevTools protocol.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--remote-debugging-port=0',
];

// Opens a page; returns a function that evaluates JavaScript there, and waits for what it promises.
export async function open(test, url) {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const browser = await launch(profile);
  test.after(async () => {
    browser.kill();
    await once(browser, 'exit');
    // Its processes end one after the other.
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  });
  const devtools = await connect(await address(browser));
  const { targetId } = await devtools('', 'Target.createTarget', { url });
  const { sessionId } = await devtools('', 'Target.attachToTarget', { targetId, flatten: true });
  return async (expression) => {
    const evaluation = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await devtools(sessionId, 'Runtime.evaluate', evaluation);
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    return result.value;
  };
}

async function launch(profile) {
  for (const program of PROGRAMS) {
    const options = { env: { ...process.env, HOME: profile, TMPDIR: profile }, stdio: ['ignore', 'ignore', 'pipe'] };
    const browser = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], options);
    const isThere = await Promise.race([
      once(browser, 'spawn').then(() => true),
      once(browser, 'error').then(() => false),
    ]).catch(() => false);
    if (isThere) {
      return browser;
    }
  }
  throw new Error('chromium must be installed');
}

async function address(browser) {
  for await (const line of createInterface({ input: browser.stderr })) {
    const [, found] = line.match(/DevTools listening on (ws:\S+)/u) ?? [];
    if (found) {
      browser.stderr.resume();
      return found;
    }
  }
  throw new Error('Chromium ended');
}

async function connect(url) {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const pending = new Map();
  socket.on('message', (text) => {
    const { id, result, error } = JSON.parse(text);
    const { resolve, reject } = pending.get(id) ?? {};
    pending.delete(id);
    if (error) {
      reject?.(new Error(error.message));
    } else {
      resolve?.(result);
    }
  });
  let calls = 0;
  return (sessionId, method, params) =>
    new Promise((resolve, reject) => {
      calls += 1;
      pending.set(calls, { resolve, reject });
      socket.send(JSON.stringify({ id: calls, method, params, ...(sessionId && { sessionId }) }));
    });
}
