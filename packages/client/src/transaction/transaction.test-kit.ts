/** Clients and pretended stores that know transactions, on one manual clock: what the tests of transactions begin with. */
import { DbError, MemoryNetwork, SeededPrng } from '@flotilla/base';
import { ManualClock } from '@flotilla/base/testing';
import { createRouter, type Router } from '@flotilla/router';
import { FakeTransactionCluster } from '@flotilla/router/testing';
import { TransactionDatabase } from './transaction-database.ts';

export interface TestClient {
  readonly name: string;
  readonly router: Router;
  readonly database: TransactionDatabase;
}

export interface TransactionKit {
  readonly clock: ManualClock;
  readonly network: MemoryNetwork;
  readonly cluster: FakeTransactionCluster;
  readonly prng: SeededPrng;
  client(name: string): TestClient;
  /** Lets what is under way finish, moving time on in small steps. */
  run<T>(promise: Promise<T>, withinMs?: number): Promise<T>;
  pass(ms: number): Promise<void>;
  sleep(ms: number): Promise<void>;
}

export interface KitOptions {
  readonly bounds?: readonly string[];
  readonly seed?: number;
  readonly skewsMs?: readonly number[];
}

/** Start keys of four more ranges: with the one below `a`, five. */
export const fourBounds: readonly string[] = ['a', 'b', 'c', 'd'];

export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

export function text(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString('latin1');
}

export async function failureOf(promise: Promise<unknown>): Promise<DbError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof DbError)) throw new Error(`expected a DbError, got ${String(error)}`);
  return error;
}

export function setUpTransactions(options: KitOptions = {}): TransactionKit {
  const { bounds = fourBounds, seed = 1, skewsMs = [] } = options;
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock, prng: new SeededPrng(seed) });
  const cluster = new FakeTransactionCluster(network, clock, bounds.map(bytes), skewsMs);
  let clients = 0;
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) {
      clock.runTurn();
      await Promise.resolve();
    }
  };
  const stepMs = 1;
  return {
    clock,
    network,
    cluster,
    prng: new SeededPrng(seed, 99),
    client: (name) => {
      const prng = new SeededPrng(seed, 100 + ++clients);
      const router = createRouter({ transport: network.connect(name), clock, prng });
      return { name, router, database: new TransactionDatabase({ router, clock, prng }) };
    },
    pass: async (ms) => {
      for (let left = ms; left > 0; left -= stepMs) {
        clock.advance(stepMs);
        await settle();
      }
    },
    sleep: (ms) => new Promise((resolve) => clock.setTimer(ms, resolve)),
    run: async (promise, withinMs = 60_000) => {
      let over = false;
      const end = (): void => {
        over = true;
      };
      promise.then(end, end);
      await settle();
      for (let waited = 0; !over; waited += stepMs) {
        if (waited > withinMs) throw new Error(`still pending after ${withinMs} ms`);
        clock.advance(stepMs);
        await settle();
      }
      return promise;
    },
  };
}
