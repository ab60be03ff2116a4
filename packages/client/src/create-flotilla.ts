/** Puts a client together over a router that the caller made: what the gateway's process does. */
import { type Clock, type Logger, type Prng, silentLogger } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { createSqlEngine } from '@flotilla/sql';
import { ComposedFlotilla, type Flotilla } from './flotilla.ts';
import { RouterDatabase } from './router-transaction.ts';

export interface CreateFlotillaOptions {
  /** Taken over: `close` of the result closes it. Stays the caller's if creation fails. */
  readonly router: Router;
  readonly clock: Clock;
  /** For jitter of retries and for row ids. */
  readonly prng: Prng;
  readonly logger?: Logger;
}

/** @throws DbError TIMEOUT, UNAVAILABLE: the cluster could not be read; try again */
export async function createFlotilla(options: CreateFlotillaOptions): Promise<Flotilla> {
  const { router, clock, prng, logger = silentLogger } = options;
  const database = new RouterDatabase(router, logger);
  const engine = await createSqlEngine({ database, clock, prng, logger });
  return new ComposedFlotilla({ router, engine, close: () => router.close() });
}
