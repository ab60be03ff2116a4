/** Puts a client together over a router that the caller made: what the gateway's process does. */
import { type Clock, type Disk, type Logger, type Prng, silentLogger } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { createSqlEngine, type SqlEngine } from '@flotilla/sql';
import { ComposedFlotilla, type Flotilla } from './flotilla.ts';
import { createInspector } from './inspector.ts';
import { type OnOperation, OperationObserver, observedExecutor } from './operations.ts';
import { TransactionRunner } from './transaction/run-transaction.ts';
import { TransactionDatabase } from './transaction/transaction-database.ts';

export interface CreateFlotillaOptions {
  /** Taken over: `close` of the result closes it. Stays the caller's if creation fails. */
  readonly router: Router;
  readonly clock: Clock;
  /** For jitter of retries and for row ids. */
  readonly prng: Prng;
  readonly logger?: Logger;
  /** Where statements put rows that they cannot hold in memory. Default: nowhere, and they fail (53200). */
  readonly spill?: { readonly disk: Disk; readonly directory: string; readonly prefix: string };
  /** Called after every operation, with what it came to: for metrics. */
  readonly onOperation?: OnOperation;
  /** Called by `close` of the result, when everything else is closed: for what the router stands on. */
  readonly onClosed?: () => Promise<void>;
}

/** @throws DbError TIMEOUT, UNAVAILABLE: the cluster could not be read; try again */
export async function createFlotilla(options: CreateFlotillaOptions): Promise<Flotilla> {
  const { router, clock, prng, logger = silentLogger } = options;
  const database = new TransactionDatabase({ router, clock, prng, logger });
  const cluster = createInspector(router, clock);
  const { peers } = router;
  const { spill } = options;
  const parts = {
    ...{ database, clock, prng, logger, cluster, peers },
    ...{ catalogLease: true, autoAnalyze: true, sweeps: true },
    ...(spill === undefined ? {} : { spill }),
  };
  const engine = await createSqlEngine(parts);
  const { onOperation } = options;
  const observer =
    onOperation === undefined ? undefined : new OperationObserver(clock, onOperation, logger);
  const transactions = new TransactionRunner({
    ...{ database, engine, clock, prng },
    ...(observer === undefined
      ? {}
      : { observe: (executor) => observedExecutor(executor, observer) }),
  });
  const close = async (): Promise<void> => {
    await closeAll(engine, database, router);
    await options.onClosed?.();
  };
  return new ComposedFlotilla({ router, engine, transactions, clock, prng, observer, close });
}

/** What was committed is finished first, if stores answer. */
async function closeAll(
  engine: SqlEngine,
  database: TransactionDatabase,
  router: Router,
): Promise<void> {
  await engine.close();
  await database.close();
  await router.close();
}
