// Errors in words, with code and trace id to copy.
import { el } from './dom.js';

// Trying again would end alike.
const FINAL = ['BAD_USER_INPUT', 'FORBIDDEN', 'CURSOR_INVALID'];
const ADVICE = {
  UNREACHABLE: 'Nothing is lost: the page goes on by itself.',
  SERVICE_UNAVAILABLE: 'This passes by itself.',
  DEADLINE_EXCEEDED: 'It may have happened all the same.',
  FORBIDDEN: 'Your sign-in does not allow it.',
  INTERNAL_SERVER_ERROR: 'The trace id finds the log.',
};

// `errors` is one error or several, ApiErrors or user errors; `onRetry`, if given, is offered.
export function notice(errors, onRetry) {
  return el(
    'div.notice',
    { role: 'alert' },
    [errors]
      .flat()
      .map(({ code, message, traceId }) => [
        el('p', `${message[0].toUpperCase()}${message.slice(1)}. ${ADVICE[code] ?? ''}`),
        code &&
          el(
            'p.fine',
            el('code', code),
            traceId && el('code', { title: 'trace id' }, traceId),
            el(
              'button.quiet',
              { type: 'button', onclick: ({ target }) => copy(target, [code, traceId].join(' ')) },
              'Copy',
            ),
          ),
      ]),
    onRetry && !FINAL.includes(errors.code) && el('button', { type: 'button', onclick: onRetry }, 'Try again'),
  );
}

async function copy(button, text) {
  // Pages that came over plain HTTP from another machine have no clipboard.
  await navigator.clipboard?.writeText(text);
  button.textContent = navigator.clipboard ? 'Copied' : text;
}
