/** Writes whose value is computed where the key lies, over real stores. */
import { present, type StoreId } from '@flotilla/base';
import type { StorePrograms } from '@flotilla/shard';
import { afterEach, describe, expect, it } from 'vitest';
import { keyOf, StoreWorld, type StoreWorldOptions } from './store-world.test-kit.ts';
import { failureOf, type TestClient, text } from './transaction.test-kit.ts';

/** `+3` adds, `gone` deletes, everything else is no program. */
const programs: StorePrograms = {
  start: () => undefined,
  compute: (program, _key, value) => {
    const word = text(program) ?? '';
    if (word === 'gone') return { kind: 'delete' };
    if (!word.startsWith('+')) return undefined;
    return { kind: 'put', value: Buffer.from(String(Number(text(value)) + Number(word))) };
  },
};
const everywhere: StoreWorldOptions = { programs: () => ({ programs }) };
const key = keyOf(1);

let world: StoreWorld;
afterEach(() => world.end());

async function start(options: StoreWorldOptions = everywhere): Promise<TestClient> {
  world = await StoreWorld.start(17, options);
  const client = world.client('one');
  await put(client, '0');
  return client;
}

async function put({ database }: TestClient, value: string): Promise<void> {
  const transaction = database.begin();
  transaction.put(key, Buffer.from(value));
  await world.run(transaction.commit());
}

const compute = ({ database }: TestClient, program: string, at: Uint8Array = key) =>
  database.begin({ isolation: 'read committed' }).commitComputed(at, Buffer.from(program));

const read = async ({ database }: TestClient) =>
  text(await world.run(database.begin({ readOnly: true }).get(key)));

/** The key's leaseholder, and how far its log is committed. */
async function logOf({ router }: TestClient): Promise<{ storeId: StoreId; commitIndex: number }> {
  const { descriptor } = await world.run(router.lookup(key));
  for (const storeId of world.cluster.storeIds) {
    const { replicas } = await world.run(router.status(storeId));
    for (const { info, role, commitIndex } of replicas ?? [])
      if (role === 'leader' && info?.descriptor?.rangeId === descriptor?.rangeId)
        return { storeId, commitIndex: commitIndex ?? 0 };
  }
  throw new Error('somebody leads the range');
}

describe('a computed write', () => {
  it('is made of the newest value, and of those that are proposed and not applied', async () => {
    const one = await start();
    const two = world.client('two');
    const many = Array.from({ length: 60 }, (_, n) => compute(n % 2 === 0 ? one : two, `+${n}`));
    expect(new Set(await world.run(Promise.all(many)))).toEqual(new Set([true]));
    expect(await read(one)).toBe(String((59 * 60) / 2));
  });

  it('shares its entries of the log with others of its turn', async () => {
    const one = await start();
    const before = await logOf(one);
    const many = Array.from({ length: 60 }, () => compute(one, '+1'));
    await world.run(Promise.all(many));
    const after = await logOf(one);
    expect(after.commitIndex - before.commitIndex).toBeLessThan(20);
  });

  it('may take the key away', async () => {
    const one = await start();
    expect(await world.run(compute(one, 'gone'))).toBe(true);
    expect(await read(one)).toBeUndefined();
    expect(await world.run(compute(one, '+1'))).toBe(false);
  });

  it('writes nothing where the program makes nothing, and its transaction goes on', async () => {
    const one = await start();
    const transaction = one.database.begin();
    expect(await world.run(transaction.commitComputed(key, Buffer.from('?')))).toBe(false);
    transaction.put(key, Buffer.from('7'));
    await world.run(transaction.commit());
    expect(await read(one)).toBe('7');
  });

  it('is all that its transaction does', async () => {
    const one = await start();
    const transaction = one.database.begin();
    await world.run(transaction.get(key));
    const error = await failureOf(world.run(transaction.commitComputed(key, Buffer.from('+1'))));
    expect(error.code).toBe('INVALID_ARGUMENT');
    const reader = one.database.begin({ readOnly: true });
    expect((await failureOf(reader.commitComputed(key, Buffer.from('+1')))).code).toBe(
      'INVALID_ARGUMENT',
    );
  });

  it('is no way where stores run no programs', async () => {
    const one = await start({});
    expect(await world.run(compute(one, '+1'))).toBe(false);
    expect(await read(one)).toBe('0');
  });

  it('waits for a lock that is let go soon, and for no other', async () => {
    const one = await start();
    const holder = world.client('two').database.begin();
    await world.run(holder.get(key, { lock: 'exclusive' }));
    const soon = compute(one, '+1');
    await world.run(world.sleep(50));
    holder.put(key, Buffer.from('10'));
    await world.run(holder.commit());
    expect(await world.run(soon)).toBe(true);
    expect(await read(one)).toBe('11');
    const long = world.client('three').database.begin();
    await world.run(long.get(key, { lock: 'exclusive' }));
    expect(await world.run(compute(one, '+1'))).toBe(false);
    long.rollback();
    expect(await read(one)).toBe('11');
  });

  it('is not made after the last moment at which it may be', async () => {
    const one = await start();
    const transaction = one.database.begin();
    transaction.bound = { timestamp: one.router.transactions.now() - 1 };
    const late = transaction.commitComputed(key, Buffer.from('+1'));
    expect((await failureOf(world.run(late))).code).toBe('CONFLICT');
    expect(await read(one)).toBe('0');
  });

  it('happens once, though leaders change under it', async () => {
    const one = await start();
    const two = world.client('two');
    let sum = 0;
    for (let round = 0; round < 12; round++) {
      const many = [one, two, one, two].map((client) => compute(client, '+1'));
      const { storeId } = await logOf(one);
      const target = present(
        world.cluster.storeIds.find((other) => other !== storeId),
        'another',
      );
      const moved = one.router.transferLease(key, target).catch(() => undefined);
      const ends = await world.run(Promise.all(many));
      await world.run(moved);
      sum += ends.filter(Boolean).length;
    }
    expect(sum).toBe(48);
    expect(await read(one)).toBe('48');
  });

  it('is of the present', async () => {
    const one = await start();
    const context = {
      id: Buffer.alloc(16, 3),
      startedAt: one.router.transactions.now(),
      readTimestamp: 0,
      uncertaintyLimit: one.router.transactions.now(),
      observed: new Map(),
      stores: new Set<number>(),
    };
    const write = one.router.transactions.write(context, {
      conditions: [],
      mutations: [],
      deleteSpans: [],
      readChecks: [],
      computations: [{ key, program: Buffer.from('+1') }],
      demandedTimestamp: one.router.transactions.now(),
      maxTimestamp: 0,
    });
    expect((await failureOf(world.run(write))).code).toBe('INVALID_ARGUMENT');
    expect(await read(one)).toBe('0');
  });
});
