/** Reads of the past at whichever store is asked: one message to one store, also where the leaseholder is not to be had. */
import { type Address, SystemClock, timestampToWallMs, toTimestamp } from '@flotilla/base';
import type { StorePrograms } from '@flotilla/shard';
import { createSqlEngine, type KvTransaction, type SqlSession } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sharedSession } from '../session-use.ts';
import { runStatement } from '../statement.ts';
import { keyOf, StoreWorld } from './store-world.test-kit.ts';
import type { TestClient } from './transaction.test-kit.ts';

const key = keyOf(1);

type Evaluate = (
  transaction: KvTransaction,
) => AsyncIterable<{ readonly result?: Uint8Array | undefined }> | undefined;
/** Until what is written now is closed everywhere. Unit: ms. */
const untilClosed = 5000;

/** Hands back the last value. */
const programs: StorePrograms = {
  compute: () => undefined,
  start: () => {
    let last: Uint8Array = Buffer.alloc(0);
    return {
      take: (_key, value) => {
        last = value;
        return true;
      },
      finish: () => Buffer.concat([Buffer.from('evaluated '), last]),
    };
  },
};

let world: StoreWorld;
let writer: TestClient;
let reader: TestClient;
/** When the value was `old`. Unit: ms since 1970. */
let past = 0;

beforeAll(async () => {
  // The grammar is loaded once, and takes real time: that of the stores must not go on meanwhile.
  const engine = await createSqlEngine({
    database: new MemoryKvDatabase(),
    clock: new SystemClock(),
  });
  await engine.close();
});

beforeEach(async () => {
  world = await StoreWorld.start(91, { programs: () => ({ programs }) });
  writer = world.client('writer');
  reader = world.client('reader');
  await put('old');
  past = timestampToWallMs(toTimestamp(writer.database.now())) + 1;
  await world.run(world.sleep(100));
  await put('new');
  // Leaders are where they belong, and everything is closed.
  await world.run(world.sleep(15_000));
  // The range is known.
  await world.run(reader.router.get([key]));
});

afterEach(() => world.end());

async function put(value: string): Promise<void> {
  const transaction = writer.database.begin();
  transaction.put(key, Buffer.from(value));
  await world.run(transaction.commit());
}

async function readAt(asOf: number, client = reader): Promise<string> {
  const transaction = client.database.begin({ readOnly: true, asOf });
  return String(await world.run(transaction.get(key)));
}

/** Stores that the reader's process asks from now on. @param passes what the network lets through */
function watch(passes: (from: string, to: Address) => boolean = () => true): {
  readonly asked: number[];
} {
  const asked: number[] = [];
  world.cluster.network.setFilter((from: string, to: Address) => {
    if (from === 'reader' && to.kind === 'store') asked.push(to.storeId);
    return passes(from, to);
  });
  return { asked };
}

async function leaseholder(): Promise<number> {
  await world.run(reader.router.get([key]));
  const info = await world.run(reader.router.lookup(key));
  return info.leaseholderStoreId ?? 0;
}

describe('a read of the past', () => {
  it('asks one store once, each in turn', async () => {
    const { asked } = watch();
    for (let i = 0; i < 6; i++) expect(await readAt(past)).toBe('old');
    expect(asked.length).toBe(6);
    expect([...asked].sort()).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('asks the leaseholder alone about what cannot be closed yet', async () => {
    const holder = await leaseholder();
    const { asked } = watch();
    for (let i = 0; i < 3; i++)
      expect(await readAt(world.cluster.clock.wallMs() - 2000)).toBe('new');
    expect(asked).toEqual(Array(3).fill(holder));
  });

  it('asks the leaseholder where a follower cannot tell', async () => {
    const holder = await leaseholder();
    const behind = [1, 2, 3].filter((storeId) => storeId !== holder);
    // Nobody hears any more what is closed.
    const { asked } = watch(
      (from, to) => !(from === `store-${holder}` && to.kind === 'store' && to.channel === 'kv'),
    );
    await put('newest');
    await world.run(world.sleep(untilClosed));
    const asOf = world.cluster.clock.wallMs() - untilClosed + 100;
    asked.length = 0;
    for (let i = 0; i < 3; i++) expect(await readAt(asOf)).toBe('newest');
    expect(asked.filter((storeId) => storeId === holder).length).toBe(3);
    expect(asked.filter((storeId) => behind.includes(storeId)).length).toBe(2);
  });

  it('goes on while the leaseholder is cut off, and everybody else but one', async () => {
    const holder = await leaseholder();
    const [other, gone] = [1, 2, 3].filter((storeId) => storeId !== holder);
    for (const storeId of [holder, gone]) world.cluster.network.isolate(`store-${storeId}`);
    for (let i = 0; i < 4; i++) expect(await readAt(past)).toBe('old');
    const { asked } = watch();
    expect(await readAt(past)).toBe('old');
    expect(asked).toEqual([other]);
  });

  const program = Buffer.from('any');
  const rowOfKey = { startKey: key, endKey: Buffer.concat([key, Buffer.of(0)]) };
  it.each<[string, Evaluate]>([
    ['is evaluated by a program', (transaction) => transaction.evaluateKeys([key], program)],
    ['scans with a program', (transaction) => transaction.evaluate([rowOfKey], program)],
  ])('%s, too', async (_name, evaluate) => {
    const evaluated = async (): Promise<string> => {
      let found = '';
      const transaction = reader.database.begin({ readOnly: true, asOf: past });
      for await (const { result } of evaluate(transaction) ?? [])
        found += Buffer.from(result ?? []);
      return found;
    };
    const { asked } = watch();
    for (let i = 0; i < 3; i++) expect(await world.run(evaluated())).toBe('evaluated old');
    expect([...asked].sort()).toEqual([1, 2, 3]);
    const holder = await leaseholder();
    world.cluster.network.isolate(`store-${holder}`);
    expect(await world.run(evaluated())).toBe('evaluated old');
  });

  it('scans, too', async () => {
    const transaction = reader.database.begin({ readOnly: true, asOf: past });
    const span = { startKey: keyOf(0), endKey: keyOf(3) };
    await world.run(collect(reader.database.begin({ readOnly: true }).scan(span)));
    const { asked } = watch();
    const rows = await world.run(collect(transaction.scan(span)));
    expect(rows).toEqual(['old']);
    expect(asked.length).toBeLessThanOrEqual(4);
  });
});

it('a session sees what a token of another stands for', async () => {
  const sessionOf = async ({ database }: TestClient): Promise<SqlSession> => {
    const { clock } = world.cluster;
    const making = createSqlEngine({ database, clock, prng: world.prng });
    const engine = await world.run(making);
    return engine.createSession({ user: 'flotilla', database: 'flotilla' });
  };
  const [one, other] = [await sessionOf(writer), await sessionOf(reader)];
  const sql = async (session: SqlSession, text: string): Promise<readonly unknown[]> =>
    (
      await world.run(
        runStatement(
          sharedSession(session, () => {}),
          text,
          [],
        ),
        60_000,
      )
    ).rows;
  await sql(one, 'CREATE TABLE boats (id int PRIMARY KEY)');
  await world.run(world.sleep(untilClosed));
  await sql(one, 'INSERT INTO boats VALUES (1)');
  const [row] = await sql(one, 'SELECT session_token() AS token');
  const { token } = row as { readonly token: string };
  const read = 'SELECT * FROM boats AS OF SYSTEM TIME follower_read_timestamp()';
  expect(await sql(other, read)).toEqual([]);
  await sql(other, `SET flotilla.session_token = '${token}'`);
  expect(await sql(other, read)).toEqual([{ id: 1 }]);
  // From then on wherever is nearest.
  await world.run(world.sleep(untilClosed));
  const { asked } = watch();
  for (let i = 0; i < 6; i++) expect(await sql(other, read)).toEqual([{ id: 1 }]);
  expect(new Set(asked).size).toBe(3);
  await expect(sql(other, "SET flotilla.session_token = 'x'")).rejects.toMatchObject({
    code: '22023',
  });
  await sql(other, "SET flotilla.session_token = '9000000000000000'");
  await expect(sql(other, read)).rejects.toMatchObject({ code: '22023' });
});

async function collect(
  batches: AsyncIterable<readonly { readonly value: Uint8Array }[]>,
): Promise<readonly string[]> {
  const values: string[] = [];
  for await (const rows of batches) values.push(...rows.map(({ value }) => String(value)));
  return values;
}
