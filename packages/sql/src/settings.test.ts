/** Settings that statements ask for again and again are kept as what they mean: that follows whatever changes them. */
import { describe, expect, it } from 'vitest';
import { Settings } from './settings.ts';

function meaning(settings: Settings): unknown[] {
  const { idleSessionTimeoutMs, idleInTransactionTimeoutMs, readAsOf, defaultModes } = settings;
  const { isolation, readOnly, deferrable } = defaultModes;
  return [
    idleSessionTimeoutMs,
    idleInTransactionTimeoutMs,
    readAsOf,
    isolation,
    readOnly,
    deferrable,
  ];
}

const initial = [0, 0, '', 'serializable', false, false];
const changed = [90_000, 5, '-10s', 'read committed', true, true];

function change(settings: Settings, local: boolean): void {
  settings.set('idle_session_timeout', '90s', local);
  settings.set('Idle_In_Transaction_Session_Timeout', '5', local);
  settings.set('flotilla.read_as_of', '-10s', local);
  settings.set('default_transaction_isolation', 'read committed', local);
  settings.set('default_transaction_read_only', 'on', local);
  settings.set('DEFAULT_TRANSACTION_DEFERRABLE', 'yes', local);
}

const create = (): Settings => new Settings({ user: 'ann', applicationName: '' });

describe('settings as what they mean', () => {
  it('follow SET and RESET ALL', () => {
    const settings = create();
    expect(meaning(settings)).toEqual(initial);
    change(settings, false);
    expect(meaning(settings)).toEqual(changed);
    settings.resetAll();
    expect(meaning(settings)).toEqual(initial);
  });

  it('follow SET LOCAL to its end', () => {
    const settings = create();
    change(settings, true);
    expect(meaning(settings)).toEqual(changed);
    settings.endLocal();
    expect(meaning(settings)).toEqual(initial);
  });

  it('follow a transaction that is rolled back', () => {
    const settings = create();
    const before = settings.snapshot();
    change(settings, false);
    const after = settings.snapshot();
    settings.restore(before);
    expect(meaning(settings)).toEqual(initial);
    settings.restore(after);
    expect(meaning(settings)).toEqual(changed);
  });

  it('follow what a session begins with, and RESET goes back to that', () => {
    const settings = create();
    settings.begin('default_transaction_isolation', 'repeatable read');
    settings.begin('idle_session_timeout', '1s');
    const begun = [1_000, 0, '', 'repeatable read', false, false];
    expect(meaning(settings)).toEqual(begun);
    change(settings, false);
    settings.resetAll();
    expect(meaning(settings)).toEqual(begun);
  });
});
