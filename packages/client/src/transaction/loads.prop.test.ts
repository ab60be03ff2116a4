/**
 * Sessions that load into new storage: one whose rows leave memory with every statement, and one whose rows never do. Both
 * answer the same to the same statements, of savepoints, failures and rollbacks too, and leave the same.
 */
import { MemoryNetwork, SeededPrng, SystemClock } from '@flotilla/base';
import { createRouter } from '@flotilla/router';
import { FakeTransactionCluster } from '@flotilla/router/testing';
import { createSqlEngine, SqlError, type SqlSession } from '@flotilla/sql';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TransactionDatabase } from './transaction-database.ts';

const id = fc.integer({ min: 1, max: 12 });
const name = fc.constantFrom('s', 't');
const statement = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .array(fc.tuple(id, id), { minLength: 1, maxLength: 4 })
      .map((rows) => `INSERT INTO a VALUES ${rows.map(([i, v]) => `(${i}, ${v})`).join(', ')}`),
  },
  {
    weight: 3,
    arbitrary: id.map((n) => `INSERT INTO a SELECT g, 0 FROM generate_series(${n}, ${n + 3}) g`),
  },
  { weight: 2, arbitrary: id.map((n) => `INSERT INTO a SELECT i + ${n}, v FROM a`) },
  {
    weight: 2,
    arbitrary: id.map((n) => `INSERT INTO a VALUES (${n}, 1) ON CONFLICT (i) DO UPDATE SET v = -1`),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(id, id).map(([i, v]) => `UPDATE a SET v = ${v} WHERE i > ${i}`),
  },
  { weight: 2, arbitrary: id.map((n) => `UPDATE a SET i = i + 20 WHERE i < ${n}`) },
  { weight: 3, arbitrary: id.map((n) => `DELETE FROM a WHERE i >= ${n}`) },
  { weight: 2, arbitrary: id.map((n) => `DELETE FROM p WHERE i = ${n}`) },
  { weight: 2, arbitrary: fc.constantFrom('TRUNCATE a', 'TRUNCATE p, c') },
  {
    weight: 3,
    arbitrary: fc.tuple(id, id).map(([i, p]) => `INSERT INTO c VALUES (${i}, ${p})`),
  },
  { weight: 2, arbitrary: id.map((n) => `INSERT INTO p VALUES (${n})`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'CREATE INDEX ON a (v)',
      'CREATE UNIQUE INDEX ON a (v)',
      'ALTER TABLE a ADD w int DEFAULT 7',
      'ALTER TABLE a ALTER v TYPE bigint',
      'CREATE TABLE b AS SELECT * FROM a',
      'DROP TABLE IF EXISTS b',
    ),
  },
  { weight: 4, arbitrary: name.map((n) => `SAVEPOINT ${n}`) },
  { weight: 5, arbitrary: name.map((n) => `ROLLBACK TO ${n}`) },
  { weight: 2, arbitrary: name.map((n) => `RELEASE ${n}`) },
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      'SELECT count(*), sum(v) FROM a',
      'SELECT i, v FROM a ORDER BY i DESC LIMIT 3',
      'SELECT i FROM a WHERE v = 1 ORDER BY i',
      'SELECT i FROM a WHERE i = 3 FOR UPDATE',
      'SELECT c.i, p.i FROM c LEFT JOIN p ON c.p = p.i ORDER BY 1, 2',
    ),
  },
);
const block = fc.record({
  begin: fc.constantFrom('BEGIN', 'BEGIN ISOLATION LEVEL READ COMMITTED'),
  /** A savepoint around each statement, as psql makes them with ON_ERROR_ROLLBACK. */
  guarded: fc.boolean(),
  statements: fc.array(statement, { minLength: 3, maxLength: 14 }),
  end: fc.constantFrom('COMMIT', 'COMMIT', 'ROLLBACK'),
});

async function run(session: SqlSession, text: string): Promise<string> {
  try {
    const rows: unknown[] = [];
    let tag = '';
    for (const one of session.parse(text)) {
      const result = await session.execute(await session.prepare(one, []), []);
      for await (const batch of result.rows ?? []) rows.push(...batch);
      tag = result.commandTag();
    }
    return `${tag} ${JSON.stringify(rows, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`;
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    // Which of several duplicates is found first nobody promises, PostgreSQL neither.
    const detail = error.fields.detail?.replace(/\)=\(.*\) is duplicated/, ') is duplicated');
    return `${error.code} ${error.message} ${detail ?? ''}`;
  }
}

async function open(loadFlushBytes: number) {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  // Ranges end in the middle of tables.
  const bounds = [Buffer.from([0x10, 0x40, 0x00, 0x40, 0x30]), Buffer.from([0x10, 0x80])];
  new FakeTransactionCluster(network, clock, bounds);
  const prng = new SeededPrng(1);
  const router = createRouter({ transport: network.connect('client'), clock, prng });
  const database = new TransactionDatabase({ router, clock, prng });
  const engine = await createSqlEngine({ database, clock, prng, loadFlushBytes });
  const session = engine.createSession({ user: 'flotilla', database: 'flotilla' });
  const close = async (): Promise<void> => {
    session.close();
    await engine.close();
    await database.close();
    await router.close();
  };
  return { session, close };
}

const setUp = `
  CREATE TABLE a (i int PRIMARY KEY, v int CHECK (v < 12)); CREATE INDEX ON a (v);
  CREATE TABLE p (i int PRIMARY KEY); CREATE TABLE c (i int, p int REFERENCES p (i));
  INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO p VALUES (1), (2)`;
const contents = [
  'SELECT * FROM a ORDER BY i',
  'SELECT count(*) FROM a WHERE v = 1',
  'SELECT * FROM p ORDER BY i',
  'SELECT * FROM c ORDER BY i, p',
];

it('say and leave the same, whenever their rows leave memory', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 2 }), async (blocks) => {
      const [eager, never] = [await open(1), await open(Number.POSITIVE_INFINITY)];
      let failed = false;
      const both = async (text: string): Promise<void> => {
        const expected = await run(never.session, text);
        failed = never.session.transactionStatus === 'failed';
        expect(`${text}: ${await run(eager.session, text)}`).toBe(`${text}: ${expected}`);
      };
      try {
        await both(setUp);
        for (const { begin, guarded, statements, end } of blocks) {
          await both(begin);
          // All storage is new, or only what the block itself makes new.
          if (begin === 'BEGIN') await both('TRUNCATE a, p, c');
          await both('SAVEPOINT s');
          for (const text of statements) {
            const isGuarded = guarded && !/^(SAVEPOINT|RELEASE|ROLLBACK)/.test(text);
            if (isGuarded) await both('SAVEPOINT guard');
            await both(text);
            if (isGuarded) {
              if (failed) await both('ROLLBACK TO guard');
              await both('RELEASE guard');
            }
          }
          await both(end);
          for (const text of contents) await both(text);
        }
      } finally {
        await eager.close();
        await never.close();
      }
    }),
    { numRuns: 60 },
  );
}, 240_000);
