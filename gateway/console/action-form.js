// The form of one action. A colleague's change in between is shown, and never overwritten unseen.
import { apply, differences, isAllowed } from './actions.js';
import { el, field, fill, pairs } from './dom.js';
import { notice } from './notice.js';

// `base` is the version that the form is filled in for; reread() reads the order again; onClose(isDone) ends the form.
export function actionForm(action, base, { reread, onClose }) {
  let [current, isSending] = [base, false];
  const [conflict, problem] = [el('div', { 'aria-live': 'polite' }), el('div')];
  const submit = el(`button.${action.look || 'primary'}`, { type: 'submit' }, action.label);
  const node = el(
    'form.box',
    { 'aria-label': action.label, onsubmit: send },
    action.fields.map(([name, label, maxlength]) =>
      field(
        label,
        el(
          maxlength > 100 ? 'textarea' : 'input',
          { name, maxlength, required: true, rows: 3, autocomplete: 'off', value: base[name] ?? '' },
          maxlength > 100 && base[name],
        ),
      ),
    ),
    conflict,
    problem,
    el('div.buttons', submit, el('button', { type: 'button', onclick: () => onClose(false) }, 'Keep as it is')),
  );

  // Takes a newer version of the order; null if it was deleted.
  function update(newer) {
    current = newer;
    if (!isSending) check();
  }

  function check() {
    submit.disabled = current?.version !== base.version;
    if (!submit.disabled) return fill(conflict);
    const goesOn = current && isAllowed(action, current);
    fill(
      conflict,
      el(
        'div.notice.conflict',
        el(
          'p',
          el(
            'strong',
            current ? `Changed in the meantime, to version ${current.version}. ` : 'Deleted in the meantime. ',
          ),
          goesOn ? 'What you wrote is kept.' : `“${action.label}” is no longer possible.`,
        ),
        current &&
          pairs(
            ...differences(base, current).map(([label, before, after]) => [
              label,
              el('del', before),
              ' ',
              el('ins', after),
            ]),
          ),
        goesOn && el('button', { type: 'button', onclick: rebase }, `Go on with version ${current.version}`),
      ),
    );
  }

  function rebase() {
    base = current;
    check();
    submit.focus();
  }

  async function send(event) {
    event.preventDefault();
    if (isSending || submit.disabled) return;
    isSending = submit.disabled = true;
    fill(problem);
    try {
      const errors = await apply(action, base, Object.fromEntries(new FormData(node)));
      if (!errors.length) return onClose(true);
      const isConflict = ({ code }) => ['VERSION_CONFLICT', 'INVALID_TRANSITION', 'ORDER_NOT_FOUND'].includes(code);
      if (errors.some(isConflict)) current = await reread();
      else fill(problem, notice(errors));
    } catch (error) {
      fill(problem, notice(error));
      // If it was done all the same, that shows as a change.
      if (error.outcome === 'UNKNOWN') current = await reread();
    } finally {
      isSending = false;
      check();
    }
  }

  return { node, update };
}
