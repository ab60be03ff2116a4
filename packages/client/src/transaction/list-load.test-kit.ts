/** Random transactions over lists, of several clients at once, and what they saw: whatever the stores below are. */
import { DbError, type SeededPrng } from '@flotilla/base';
import type { IsolationLevel } from '@flotilla/sql';
import type { ListOperation, ListTransaction } from '../testing/checkers/list-append.ts';
import { bytes, type TestClient, text } from './transaction.test-kit.ts';

export interface ListLoad {
  readonly isolation: IsolationLevel;
  /** Of each of two workers of each client. */
  readonly transactions: number;
  readonly keys: readonly Uint8Array[];
}

/** What the load needs of the world it runs in. */
export interface LoadWorld {
  readonly prng: SeededPrng;
  client(name: string): TestClient;
  run<T>(promise: Promise<T>, withinMs?: number): Promise<T>;
  sleep(ms: number): Promise<void>;
}

/** @param beside runs until it is told that the load is over */
export async function runListLoad(
  world: LoadWorld,
  load: ListLoad,
  beside: (over: () => boolean) => Promise<void> = async () => {},
): Promise<ListTransaction[]> {
  const history: ListTransaction[] = [];
  const clients = ['p', 'q', 'r'].map((name) => world.client(name));
  let working = clients.length * 2;
  const values = { next: 1 };
  const workers = clients.flatMap((client) =>
    [1, 2].map(async (worker) => {
      for (let i = 0; i < load.transactions; i++) {
        const name = `${client.name}${worker}.${i}`;
        history.push(await oneOf(world, client, load, name, values));
        await world.sleep(1 + world.prng.nextBelow(10));
      }
      working--;
    }),
  );
  await world.run(Promise.all([...workers, beside(() => working === 0)]), 600_000);
  return history;
}

/** What is there at the end, as one more transaction of the history. */
export async function readAll(client: TestClient, load: ListLoad): Promise<ListTransaction> {
  const transaction = client.database.begin({ readOnly: true });
  const found = await transaction.getMany(load.keys);
  return {
    name: 'last',
    outcome: 'committed',
    operations: load.keys.map((key, index) => ({
      kind: 'read',
      key: text(key) ?? '',
      values: listOf(found[index]),
    })),
  };
}

function listOf(value: Uint8Array | undefined): number[] {
  return (text(value) ?? '').split(',').filter(Boolean).map(Number);
}

async function oneOf(
  world: LoadWorld,
  client: TestClient,
  load: ListLoad,
  name: string,
  unique: { next: number },
): Promise<ListTransaction> {
  const { prng } = world;
  const transaction = client.database.begin({ isolation: load.isolation });
  const operations: ListOperation[] = [];
  try {
    const steps = 1 + prng.nextBelow(4);
    for (let step = 0; step < steps; step++) {
      const stored = load.keys[prng.nextBelow(load.keys.length)] ?? bytes('');
      const key = text(stored) ?? '';
      const lock = prng.nextBelow(8) === 0 ? ({ lock: 'exclusive' } as const) : {};
      const values = listOf(await transaction.get(stored, lock));
      if (prng.nextBelow(2) === 0) {
        operations.push({ kind: 'read', key, values });
      } else {
        const value = unique.next++;
        operations.push({ kind: 'append', key, value });
        transaction.put(stored, bytes([...values, value].join(',')));
      }
      if (prng.nextBelow(3) === 0) await world.sleep(prng.nextBelow(20));
    }
    await transaction.commit();
    return { name, operations, outcome: 'committed' };
  } catch (error) {
    transaction.rollback();
    if (!(error instanceof DbError)) throw error;
    return { name, operations, outcome: error.outcome === 'unknown' ? 'unknown' : 'aborted' };
  }
}
