import { expect, it } from 'vitest';
import { ClosingSteps } from './closing-steps.ts';

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
