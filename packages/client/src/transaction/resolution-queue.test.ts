/** When what is left of transactions leaves, in rounds. */
import { silentLogger } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import type { Resolution, TransactionRouter } from '@flotilla/router';
import { expect, it } from 'vitest';
import { ResolutionQueue } from './resolution-queue.ts';

it('lets go of intents that are waited for at once, however many follow', async () => {
  const clock = new ManualClock();
  const sent: Pick<Resolution, 'transactionId'>[] = [];
  const router: Pick<TransactionRouter, 'resolve'> = {
    resolve: async (resolutions) => void sent.push(...resolutions),
  };
  const queue = new ResolutionQueue(router as TransactionRouter, clock, silentLogger);
  for (let i = 0; i < 20; i++) {
    queue.add({
      transactionId: Buffer.of(i),
      anchorKey: Buffer.of(1),
      keys: [Buffer.of(1)],
      ...{ committed: false, commitTimestamp: 0, decided: true, announced: false },
      onEnd: () => {},
    });
    await Promise.resolve();
    clock.advance(1);
    await Promise.resolve();
  }
  expect(sent.length).toBeGreaterThan(15);
});
