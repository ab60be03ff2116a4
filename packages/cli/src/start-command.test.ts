import { DbError, ExitCode, FatalError, InvariantViolation } from '@flotilla/base';
import { describe, expect, it } from 'vitest';
import { explain } from './start-command.ts';
import { UsageError } from './usage-error.ts';

describe('what ends a process', () => {
  it.each([
    [
      new FatalError(ExitCode.diskFull, 'no room', { path: '/x' }),
      ExitCode.diskFull,
      'fatal: no room',
    ],
    [
      new InvariantViolation('n is even', { n: 3 }),
      ExitCode.invariantViolation,
      'invariant violated',
    ],
    [new UsageError('bad flag'), ExitCode.usage, 'bad flag'],
    [new DbError('INVALID_ARGUMENT', 'max_payload is too small'), ExitCode.usage, 'max_payload'],
    [new DbError('UNAVAILABLE', 'nobody'), ExitCode.failure, 'nobody'],
    [
      new TypeError('x is not a function'),
      ExitCode.invariantViolation,
      'unexpected error: TypeError',
    ],
    ['a thrown string', ExitCode.invariantViolation, 'unexpected error: a thrown string'],
  ])('%s: exit code %i', (error, exitCode, text) => {
    const explained = explain(error);
    expect(explained.exitCode).toBe(exitCode);
    expect(explained.event).toContain(text);
  });

  it('keeps the facts of a fatal error', () => {
    const error = new FatalError(ExitCode.diskFull, 'no room', { path: '/x' });
    expect(explain(error).facts).toEqual({ path: '/x' });
  });
});
