import { expect, it } from 'vitest';
import { bytes, failureOf, setUpTransactions } from './transaction.test-kit.ts';

it('the user hears of an abort when the record says so: no late promise can undo it', async () => {
  const kit = setUpTransactions();
  const { database, router } = kit.client('first');
  const stale = database.begin();
  await kit.run(stale.get(bytes('b1')));
  const other = kit.client('second').database.begin();
  other.put(bytes('b1'), bytes('newer'));
  await kit.run(other.commit());
  let decisions = 0;
  let isHeld = true;
  kit.cluster.intercept = (_storeId, request, clientId) => {
    if (clientId !== router.transactions.clientId || !request.decide) return undefined;
    decisions++;
    return isHeld ? 'drop' : undefined;
  };
  stale.put(bytes('a1'), bytes('stale'));
  stale.put(bytes('b1'), bytes('stale'));
  let settled = false;
  const failed = failureOf(stale.commit()).finally(() => {
    settled = true;
  });
  await kit.pass(1000);
  expect(decisions).toBeGreaterThan(0);
  expect(settled).toBe(false);
  isHeld = false;
  expect((await kit.run(failed)).code).toBe('CONFLICT');
});
