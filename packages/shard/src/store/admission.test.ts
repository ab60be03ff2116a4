/** What is admitted: up to a bound, and less while the store falls behind. */
import { noClusterId, Outbox, type Transport, toStoreId, toTimestamp } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { expect, it } from 'vitest';
import { defaultStoreLimits } from '../limits.ts';
import { RefusalReason, refusal } from '../replica/answers.ts';
import { Admission } from './admission.ts';

const nothing = { close: (): void => {} };
const transport: Transport = {
  send: () => {},
  listen: () => nothing,
  onUnreachable: () => nothing,
  onConnection: () => nothing,
  connected: true,
  close: () => Promise.resolve(),
};
const sender = { kind: 'store', storeId: toStoreId(1) } as const;

it('takes fewer requests while the store falls behind, but never none', () => {
  const clock = new ManualClock();
  const header = () => ({ clusterId: noClusterId, timestamp: toTimestamp(1), sender });
  let busy = false;
  const limits = { ...defaultStoreLimits, requestsInFlightMax: 4, requestsInFlightBusyMax: 2 };
  const admission = new Admission(
    clock,
    new Outbox({ transport, clock, header }),
    limits,
    () => busy,
  );
  const admit = (id: number) => admission.admit('c', id, 10, 1000);
  const admitted = [1, 2, 3].map(admit);
  expect(admitted.every((caller) => caller !== undefined)).toBe(true);
  busy = true;
  expect(admit(4)).toBeUndefined();
  const answer = refusal(RefusalReason.BUSY, 'x');
  for (const caller of admitted.slice(0, 2))
    if (caller !== undefined) admission.send(caller, answer);
  expect(admit(5)).toBeDefined();
  expect(admit(6)).toBeUndefined();
  busy = false;
  expect(admit(7)).toBeDefined();
});
