/** What tests of sessions need again and again: an engine over memory, and rows in one line. */
import { type Clock, SeededPrng, SystemClock } from '@flotilla/base';
import type { ClusterInspector } from '../cluster/cluster-inspector.ts';
import { createSqlEngine, type SqlEngine } from '../engine.ts';
import type { Datum, Notice, SqlSession, StatementResult } from '../session-api.ts';
import { MemoryKvDatabase } from './memory-kv-database.ts';

export interface Harness {
  readonly database: MemoryKvDatabase;
  readonly engine: SqlEngine;
  readonly session: SqlSession;
  readonly notices: Notice[];
  readonly statuses: [string, string][];
  /** Runs all statements of a text; rows of the last one. */
  query(
    sql: string,
    parameters?: readonly Datum[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<(readonly Datum[])[]>;
}

export async function createHarness(
  options: {
    readonly batchPairs?: number;
    readonly clock?: Clock;
    readonly cluster?: ClusterInspector;
    /** As SqlEngineOptions has it. */
    readonly catalogLease?: boolean;
  } = {},
): Promise<Harness> {
  const database = new MemoryKvDatabase(
    options.batchPairs === undefined ? {} : { batchPairs: options.batchPairs },
  );
  const engine = await createSqlEngine({
    database,
    clock: options.clock ?? new SystemClock(),
    prng: new SeededPrng(1),
    ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
    catalogLease: options.catalogLease ?? false,
  });
  return harnessOver(database, engine);
}

/** Another engine over the same data: another gateway. */
export function harnessOver(database: MemoryKvDatabase, engine: SqlEngine): Harness {
  const notices: Notice[] = [];
  const statuses: [string, string][] = [];
  const session = engine.createSession({
    user: 'ann',
    database: 'main',
    events: {
      onNotice: (notice) => notices.push(notice),
      onParameterStatus: (name, value) => statuses.push([name, value]),
    },
  });
  const query: Harness['query'] = async (sql, parameters = [], runOptions = {}) => {
    let rows: (readonly Datum[])[] = [];
    for (const statement of session.parse(sql)) {
      const prepared = await session.prepare(statement, []);
      rows = await allRows(await session.execute(prepared, parameters, runOptions));
    }
    return rows;
  };
  return { database, engine, session, notices, statuses, query };
}

/** Resolves when what was dropped is gone, as it is in the background. */
export async function cleared({ query }: Pick<Harness, 'query'>): Promise<void> {
  while ((await query('select name from flotilla.dropped_storage')).length > 0)
    await new Promise((resolve) => setImmediate(resolve));
}

export async function allRows(result: StatementResult): Promise<(readonly Datum[])[]> {
  const rows: (readonly Datum[])[] = [];
  for await (const batch of result.rows ?? []) rows.push(...batch);
  return rows;
}
