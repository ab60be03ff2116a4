import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { kv } from '../protocol/index.ts';
import { RefusalReason } from '../replica/answers.ts';
import { encodeAnswer } from '../store/answer-encoding.ts';
import { Executor } from './executor.ts';
import type { PlacementAction } from './picture.ts';
import { range } from './placement.test-kit.ts';

it('asks for nothing any more once it is void', async () => {
  const before = range(1, [1, 2, 3]);
  const action: PlacementAction = {
    ...{ kind: 'change', rangeId: before.descriptor.rangeId, generation: 1 },
    ...{ add: [], remove: [], rule: 'balance-count', reason: '' },
  };
  let asked = 0;
  const client = {
    isStopped: false,
    pause: () => Promise.resolve(),
    request: () => {
      asked++;
      const refusal = { reason: RefusalReason.NOT_LEASEHOLDER };
      return Promise.resolve(kv.Response.decode(encodeAnswer(asked, { refusal })));
    },
  };
  const executor = new Executor(client, new ManualClock());
  const outcome = await executor.run(action, before, () => asked === 3);
  expect(outcome).toEqual({
    ok: false,
    text: 'another leaseholder of the first range decides now',
  });
  expect(asked).toBe(3);
});
