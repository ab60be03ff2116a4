import { beforeEach, describe, expect, it } from 'vitest';
import { ClosingSteps } from './closing-steps.ts';
import { DbError } from './errors.ts';

it('runs its steps backwards and once, all of them, and rejects with what failed first', async () => {
  const steps = new ClosingSteps();
  const done: string[] = [];
  for (const [name, fails] of [
    ['first', true],
    ['second', true],
    ['third', false],
  ] as const)
    steps.add(async () => {
      done.push(name);
      if (fails) throw new Error(name);
    });
  const runs = [steps.run(), steps.run()];
  for (const run of runs) await expect(run).rejects.toThrow('second');
  expect(done).toEqual(['third', 'second', 'first']);
});

it('shows errors of later steps behind the first', async () => {
  const steps = new ClosingSteps();
  const [first, second] = [new Error('first'), new Error('second')];
  for (const error of [second, first]) steps.add(() => Promise.reject(error));
  const thrown = await steps.run().catch((error: unknown) => error);
  expect(thrown).toBe(first);
  expect(first.cause).toMatchObject({ errors: [second] });
});

describe('closing after an error', () => {
  const cause = new Error('no room');
  const closing = new Error('cannot close');
  let error: DbError;
  let steps: ClosingSteps;

  beforeEach(() => {
    delete cause.cause;
    error = new DbError('UNAVAILABLE', 'cannot start', { cause });
    steps = new ClosingSteps();
  });

  it('rejects with it once the steps have run', async () => {
    let closed = false;
    steps.add(async () => {
      closed = true;
    });
    await expect(steps.runAfter(error)).rejects.toBe(error);
    expect([closed, cause.cause]).toEqual([true, undefined]);
  });

  it('rejects with it where the steps fail, and their error goes along', async () => {
    steps.add(() => Promise.reject(closing));
    await expect(steps.runAfter(error)).rejects.toBe(error);
    expect(error.cause).toBe(cause);
    expect(cause.cause).toMatchObject({ errors: [closing] });
  });

  it('keeps what was thrown that is no error', async () => {
    steps.add(() => Promise.reject(closing));
    const thrown = await steps.runAfter('text').catch((reason: unknown) => reason);
    expect(thrown).toMatchObject({ message: 'text', errors: ['text', closing] });
  });
});
