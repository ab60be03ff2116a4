/** Programs at stores: in slices, few at a time, up to the bounds of one answer, and not at all where nobody knows them. */
import { keyMax, present, toStoreId } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { rangesOn } from '../testing/ranges-on.ts';
import { StoreCluster } from '../testing/store-cluster.ts';
import { ProgramSlots } from './program-slots.ts';
import type { ReadProgram } from './read-programs.ts';
import type { StorePrograms } from './row-programs.ts';

const { RefusalReason } = flotilla.kv;
const storeIds = [1, 2, 3].map(toStoreId);
const ranges = rangesOn(storeIds, [Buffer.alloc(0), Buffer.from(keyMax)]);
const timeoutMs = 20_000;

/** `count`: how many rows; `two`: no more than two of them; `fails`: gives up at the first; `list`: keys and their positions. */
const programs: StorePrograms = {
  compute: () => undefined,
  start(bytes): ReadProgram | undefined {
    const name = Buffer.from(bytes).toString();
    if (name === 'list') return new Listing();
    if (name !== 'count' && name !== 'two' && name !== 'fails') return undefined;
    let rows = 0;
    return {
      take: () => ++rows < (name === 'count' ? Number.POSITIVE_INFINITY : name === 'two' ? 2 : 1),
      finish: () => (name === 'fails' ? undefined : Buffer.from(String(rows))),
    };
  },
};

class Listing implements ReadProgram {
  private readonly found: string[] = [];

  take(key: Uint8Array, value: Uint8Array, position: number): boolean {
    this.found.push(`${position}:${Buffer.from(key)}=${Buffer.from(value)}`);
    return true;
  }

  finish(): Uint8Array {
    return Buffer.from(this.found.join(' '));
  }
}

let cluster: StoreCluster | undefined;
afterEach(() => cluster?.stopAll());

const header = { id: Buffer.alloc(16, 7), coordinator: 'test', startedAt: 1 };

type Options = Partial<ConstructorParameters<typeof StoreCluster>[0]>;

async function running(
  options: Options = {},
  keys: readonly string[] = ['k1', 'k2', 'k3', 'k4', 'k5'],
) {
  const stores = new StoreCluster({ seed: 3, ranges, programs: () => ({ programs }), ...options });
  cluster = stores;
  await stores.start();
  const client = stores.client();
  for (const key of keys) await stores.until(client.put(Buffer.from(key), 'value'));
  return { stores, client };
}

async function started(options?: Options, keys?: readonly string[]) {
  const { stores, client } = await running(options, keys);
  const scan = async (
    program: string,
    { startKey = 'k', reverse = false, transactional = true } = {},
  ) => {
    const span = { startKey: Buffer.from(startKey), endKey: Buffer.from('l'), reverse };
    const request = { scan: { ...span, program: Buffer.from(program) } };
    const answer = client.ask(
      client.rangeOf(span.startKey),
      transactional ? { ...request, transaction: header } : request,
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

describe('a program of a get', () => {
  async function ready(options?: Options) {
    const { stores, client } = await running(options);
    const ask = async (request: Parameters<typeof client.ask>[1]) =>
      present(
        await stores.until(
          client.ask(client.rangeOf(Buffer.from('k')), request, timeoutMs),
          timeoutMs,
        ),
        'an answer',
      );
    const get = (
      program: string,
      keys: readonly string[],
      transaction: flotilla.kv.TransactionHeader.$Properties = header,
    ) =>
      ask({
        get: { keys: keys.map((key) => Buffer.from(key)), program: Buffer.from(program) },
        transaction,
      });
    return { stores, client, ask, get };
  }

  it('sees the rows of the keys in their order, with their positions', async () => {
    const { get } = await ready();
    const { get: found } = await get('list', ['k4', 'nothing', 'k1', 'k2']);
    expect(String(found?.result)).toBe('0:k4=value 2:k1=value 3:k2=value');
    expect(found).toMatchObject({ evaluated: true, rowsRead: 3, keysDone: 4 });
    expect(found?.values ?? []).toEqual([]);
    expect(found?.readTimestamp).toBeGreaterThan(0);
  });

  it('ends an answer, which says how many keys it is about', async () => {
    const { get } = await ready();
    const { get: found } = await get('two', ['k5', 'nothing', 'k4', 'k3', 'k2']);
    expect(found).toMatchObject({ rowsRead: 2, keysDone: 3 });
  });

  it('is cut by the keys of one answer, and by their bytes', async () => {
    const { get } = await ready({ limits: { programKeysMax: 2 } });
    expect((await get('count', ['k1', 'k2', 'k3'])).get).toMatchObject({ keysDone: 2 });
    await cluster?.stopAll();
    const wide = await ready({ limits: { getBytesMax: 50 } });
    const { get: found } = await wide.get('count', ['k1', 'k2', 'k3', 'k4']);
    expect(found?.keysDone).toBeGreaterThan(0);
    expect(found?.keysDone).toBeLessThan(4);
  });

  it('that is long and gets no turn answers with what it has done', async () => {
    const limits = { programRowsFree: 32, programsRunningMax: 0, programsWaitingMax: 0 };
    const { get } = await ready({ limits });
    const keys = Array.from({ length: 40 }, (_, i) => `k${1 + (i % 5)}`);
    expect((await get('count', keys)).get).toMatchObject({ rowsRead: 33, keysDone: 33 });
  });

  it('is refused where it is not known, gives up, or there is no transaction', async () => {
    const { get, ask } = await ready();
    for (const program of ['another', 'fails'])
      expect((await get(program, ['k1'])).refusal?.reason).toBe(RefusalReason.PROGRAM_REFUSED);
    const plain = { get: { keys: [Buffer.from('k1')], program: Buffer.from('count') } };
    expect((await ask(plain)).refusal?.reason).toBe(RefusalReason.INVALID);
  });

  it('keeps writes above what it has read', async () => {
    const { client, stores, get, ask } = await ready();
    const { get: first } = await get('list', ['k1', 'gone']);
    const readTimestamp = present(first?.readTimestamp, 'a snapshot');
    const other = { id: Buffer.alloc(16, 8), coordinator: 'other', startedAt: 1 };
    for (const key of ['k1', 'gone']) {
      const { refusal } = await ask({
        prepare: {
          anchorKey: Buffer.from(key),
          commitTimestamp: readTimestamp,
          mutations: [{ key: Buffer.from(key), value: Buffer.from('new') }],
        },
        transaction: other,
      });
      expect(refusal?.reason).toBe(RefusalReason.PUSHED);
      expect(refusal?.timestamp).toBeGreaterThan(readTimestamp);
    }
    await stores.until(client.put(Buffer.from('k1'), 'newer'));
    const again = await get('list', ['k1'], { ...header, readTimestamp });
    expect(String(again.get?.result)).toBe('0:k1=value');
    expect(String((await get('list', ['k1'])).get?.result)).toBe('0:k1=newer');
  });

  it('does not pass by an intent of its time', async () => {
    const { get, ask } = await ready();
    const { get: first } = await get('list', ['k2']);
    const commitTimestamp = present(first?.readTimestamp, 'a snapshot') + 1;
    const anchorKey = Buffer.from('k1');
    const laid = await ask({
      prepare: { anchorKey, commitTimestamp, mutations: [{ key: anchorKey, value: anchorKey }] },
      transaction: { id: Buffer.alloc(16, 8), coordinator: 'other', startedAt: 1 },
    });
    expect(laid.prepare?.prepared).toBe(true);
    const later = { ...header, readTimestamp: commitTimestamp + 1 };
    const blocked = await get('list', ['k3', 'k1'], later);
    expect(blocked.refusal?.reason).toBe(RefusalReason.BLOCKED);
    const earlier = { ...header, readTimestamp: commitTimestamp - 1 };
    expect(String((await get('list', ['k3', 'k1'], earlier)).get?.result)).toBe(
      '0:k3=value 1:k1=value',
    );
  });

  it('may be uncertain', async () => {
    const { client, stores, get } = await ready();
    const { get: first } = await get('list', ['k1']);
    const readTimestamp = present(first?.readTimestamp, 'a snapshot');
    const put = present(await stores.until(client.put(Buffer.from('k1'), 'newer')), 'an answer');
    const written = present(put.write?.timestamp, 'a timestamp');
    const { refusal } = await get('list', ['k1'], {
      ...header,
      readTimestamp,
      uncertaintyLimit: written + 1,
    });
    expect(refusal).toMatchObject({ reason: RefusalReason.UNCERTAIN, timestamp: written });
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
