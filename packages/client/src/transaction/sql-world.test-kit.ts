/** SQL over real stores, with a table of rows in several ranges, for tests of what stores evaluate. */
import { concatBytes, DbError, KeyWriter, SeededPrng, tablePrefix } from '@flotilla/base';
import {
  createSqlEngine,
  createStorePrograms,
  type SqlEngine,
  type SqlSession,
} from '@flotilla/sql';
import { StoreWorld, type StoreWorldOptions } from './store-world.test-kit.ts';
import type { TestClient } from './transaction.test-kit.ts';

/** Of the table, and of its ranges. */
export const rows = 240;
export const pieces = 6;

export type Row = readonly unknown[];

export class SqlWorld {
  private readonly world: StoreWorld;
  private readonly client: TestClient;
  private readonly engine: SqlEngine;
  private readonly session: SqlSession;

  private constructor(world: StoreWorld, client: TestClient, engine: SqlEngine) {
    this.world = world;
    this.client = client;
    this.engine = engine;
    this.session = this.newSession();
  }

  /** @param definition of a table t, whose key is an int; @param fill statements about its rows */
  static async start(
    options: StoreWorldOptions,
    definition: string,
    fill: string,
  ): Promise<SqlWorld> {
    const world = await StoreWorld.start(91, options);
    const client = world.client('sql');
    const { clock } = world.cluster;
    const engine = await world.run(
      createSqlEngine({ database: client.database, clock, prng: new SeededPrng(5) }),
      60_000,
    );
    const sql = new SqlWorld(world, client, engine);
    await sql.ask(definition);
    await sql.cutTable();
    await sql.ask(fill);
    return sql;
  }

  newSession(): SqlSession {
    return this.engine.createSession({ user: 'postgres', database: 'flotilla' });
  }

  async ask(sql: string, within: SqlSession = this.session): Promise<readonly Row[]> {
    const work = async (): Promise<readonly Row[]> => {
      let found: Row[] = [];
      for (const statement of within.parse(sql)) {
        const result = await within.execute(await within.prepare(statement, []), []);
        found = [];
        for await (const batch of result.rows ?? []) found.push(...batch);
      }
      return found;
    };
    return this.world.run(work(), 60_000);
  }

  /** What EXPLAIN ANALYZE counts. */
  async told(sql: string): Promise<Record<string, number>> {
    return facts(await this.ask(`explain (analyze) ${sql}`));
  }

  async end(): Promise<void> {
    await this.world.run(this.engine.close());
    await this.world.end();
  }

  private async cutTable(): Promise<void> {
    const [[place] = []] = await this.ask(
      "select relfilenode::int8 from pg_class where relname = 't'",
    );
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32BE(Number(place));
    for (let i = 1; i < pieces; i++) {
      const key = new KeyWriter()
        .begin(concatBytes(tablePrefix, prefix))
        .integer(0)
        .integer((i * rows) / pieces)
        .finish();
      await this.world.run(this.cut(key), 60_000);
    }
  }

  /** Again while the range cannot be cut just then. */
  private async cut(key: Uint8Array): Promise<void> {
    for (let tries = 0; ; tries++)
      try {
        await this.client.router.split(key, { timeoutMs: 20_000 });
        return;
      } catch (error) {
        if (!(error instanceof DbError) || tries === 20) throw error;
        await this.world.sleep(200);
      }
  }
}

export const everywhere = (): StoreWorldOptions => ({
  programs: () => ({ programs: createStorePrograms() }),
});

/** Of the three stores all but one. */
export const notEverywhere = (): StoreWorldOptions => ({
  programs: (storeId) => (storeId === 1 ? {} : { programs: createStorePrograms() }),
});

function facts(lines: readonly Row[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [line] of lines)
    for (const [, word, number] of String(line).matchAll(/(\w+)=(\d+)/g))
      if (/^(Storage|Evaluated)/.test(String(line)))
        found[`${String(line).split(/[ :]/)[0]} ${word}`] = Number(number);
  return found;
}
