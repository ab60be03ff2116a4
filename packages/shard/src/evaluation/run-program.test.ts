/** Programs at stores: in slices, few at a time, up to the bounds of one answer, and not at all where nobody knows them. */
import { keyMax, present, toStoreId } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import { ProgramSlots } from './program-slots.ts';
import type { StorePrograms } from './row-programs.ts';
import type { ScanProgram } from './scan-programs.ts';

const { RefusalReason } = flotilla.kv;
const storeIds = [1, 2, 3].map(toStoreId);
const ranges = rangesOn(storeIds, [Buffer.alloc(0), Buffer.from(keyMax)]);
const timeoutMs = 20_000;

/** `count`: how many rows; `two`: no more than two of them; `fails`: gives up at the first. */
const programs: StorePrograms = {
  compute: () => undefined,
  start(bytes): ScanProgram | undefined {
    const name = Buffer.from(bytes).toString();
    if (name !== 'count' && name !== 'two' && name !== 'fails') return undefined;
    let rows = 0;
    return {
      take: () => ++rows < (name === 'count' ? Number.POSITIVE_INFINITY : name === 'two' ? 2 : 1),
      finish: () => (name === 'fails' ? undefined : Buffer.from(String(rows))),
    };
  },
};

let cluster: StoreCluster | undefined;
afterEach(() => cluster?.stopAll());

async function started(
  options: Partial<ConstructorParameters<typeof StoreCluster>[0]> = {},
  keys: readonly string[] = ['k1', 'k2', 'k3', 'k4', 'k5'],
) {
  const stores = new StoreCluster({ seed: 3, ranges, programs: () => ({ programs }), ...options });
  cluster = stores;
  await stores.start();
  const client = stores.client();
  for (const key of keys) await stores.until(client.put(Buffer.from(key), 'value'));
  const scan = async (
    program: string,
    { startKey = 'k', reverse = false, transactional = true } = {},
  ) => {
    const transaction = { id: Buffer.alloc(16, 7), coordinator: 'test', startedAt: 1 };
    const span = { startKey: Buffer.from(startKey), endKey: Buffer.from('l'), reverse };
    const request = { scan: { ...span, program: Buffer.from(program) } };
    const answer = client.ask(
      client.rangeOf(span.startKey),
      transactional ? { ...request, transaction } : request,
      timeoutMs,
    );
    return present(await stores.until(answer, timeoutMs), 'an answer');
  };
  return scan;
}

describe('a program of a scan', () => {
  it('sees every row, and its result comes in their place', async () => {
    const scan = await started();
    const { scan: found } = await scan('count');
    expect(found).toMatchObject({ evaluated: true, rowsRead: 5 });
    expect(String(found?.result)).toBe('5');
    expect(found?.rows ?? []).toEqual([]);
    expect(found?.resumeKey?.length ?? 0).toBe(0);
    expect(found?.readTimestamp).toBeGreaterThan(0);
  });

  it('ends an answer; the next one goes on behind its last row', async () => {
    const scan = await started();
    const { scan: first } = await scan('two');
    expect(String(first?.result)).toBe('2');
    expect(String(first?.resumeKey)).toBe('k2\0');
    const { scan: backwards } = await scan('two', { reverse: true });
    expect(String(backwards?.resumeKey)).toBe('k4');
  });

  it('is cut by the rows of one answer', async () => {
    const scan = await started({ limits: { programRowsMax: 3 } });
    const { scan: first } = await scan('count');
    expect(first).toMatchObject({ rowsRead: 3 });
    const { scan: rest } = await scan('count', { startKey: String(first?.resumeKey) });
    expect(rest).toMatchObject({ rowsRead: 2 });
  });

  it('that is long and gets no turn answers with what it has done', async () => {
    const limits = { programRowsFree: 32, programsRunningMax: 0, programsWaitingMax: 0 };
    const keys = Array.from({ length: 40 }, (_, i) => `k${10 + i}`);
    const scan = await started({ limits }, keys);
    const { scan: first } = await scan('count');
    expect(first).toMatchObject({ evaluated: true, rowsRead: 33 });
    const { scan: rest } = await scan('count', { startKey: String(first?.resumeKey) });
    expect(rest).toMatchObject({ rowsRead: 7 });
  });

  it('is refused where it is not known, or gives up', async () => {
    const scan = await started();
    for (const program of ['another', 'fails'])
      expect((await scan(program)).refusal?.reason).toBe(RefusalReason.PROGRAM_REFUSED);
  });

  it('is refused by a store that runs none', async () => {
    const scan = await started({ programs: () => ({}) });
    expect((await scan('count')).refusal?.reason).toBe(RefusalReason.PROGRAM_REFUSED);
  });

  it('needs a transaction', async () => {
    const scan = await started();
    expect((await scan('count', { transactional: false })).refusal?.reason).toBe(
      RefusalReason.INVALID,
    );
  });
});

describe('the slots of programs', () => {
  it('are few, handed on in order, and not waited for for long', async () => {
    const clock = new ManualClock();
    const slots = new ProgramSlots(clock, { runningMax: 1, waitingMax: 2, waitMs: 50 });
    expect(await slots.enter()).toBe(true);
    const second = slots.enter();
    const third = slots.enter();
    expect(await slots.enter()).toBe(false);
    slots.leave();
    expect(await second).toBe(true);
    clock.advance(60);
    expect(await third).toBe(false);
    slots.leave();
    expect(await slots.enter()).toBe(true);
  });
});
