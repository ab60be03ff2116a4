/** The two that are compared: a live PostgreSQL 15, in a database of its own, and an engine here over memory. */
import { SeededPrng, SystemClock } from '@flotilla/base';
import pg from 'pg';
import { createSqlEngine } from '../dist/index.js';
import { MemoryKvDatabase } from '../dist/testing/index.js';

const raw = { getTypeParser: () => (value) => value };

/** Types that a user made have another oid each time. */
function shownType(oid) {
  return oid < 16_384 ? oid : 'own';
}

/** @param database is dropped and made anew by every reset; another one for each run that goes on at the same time */
export async function openPostgres(database) {
  const admin = new pg.Client({ database: 'postgres' });
  await admin.connect();
  let client;
  return {
    end: async () => {
      await client?.end();
      await admin.query(`drop database if exists ${database}`);
      await admin.end();
    },
    reset: async () => {
      await client?.end();
      await admin.query(`drop database if exists ${database}`);
      await admin.query(
        `create database ${database} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C.UTF-8'`,
      );
      client = new pg.Client({ database });
      await client.connect();
      await client.query(
        `set client_min_messages = error; set timezone = 'UTC'; set statement_timeout = '20s'`,
      );
    },
    run: async (sql) => {
      try {
        const results = [await client.query({ text: sql, rowMode: 'array', types: raw })].flat();
        const result = results[results.length - 1];
        return {
          columns: result.fields.map((field) => `${field.name}:${shownType(field.dataTypeID)}`),
          rows: result.rows.map((row) => row.map((value) => (value === null ? '∅' : value))),
          count: result.rowCount ?? 0,
        };
      } catch (error) {
        if (error.code === undefined) throw error;
        return { error: error.code, message: error.message, position: error.position };
      }
    },
  };
}

export async function openFlotilla(database) {
  let session;
  return {
    reset: async () => {
      await session?.close?.();
      const engine = await createSqlEngine({
        database: new MemoryKvDatabase({ batchPairs: 7 }),
        clock: new SystemClock(),
        prng: new SeededPrng(1),
      });
      session = engine.createSession({ user: 'postgres', database });
    },
    run: (sql) => runStatements(session, sql),
  };
}

async function runStatements(session, sql) {
  try {
    let answer = { columns: [], rows: [], count: 0 };
    const statements = session.parse(sql);
    for (const statement of statements) {
      if (statements.length > 1) session.beginImplicit('query');
      const prepared = await session.prepare(statement, []);
      const result = await session.execute(prepared, []);
      const columns = result.columns ?? [];
      const rows = [];
      for await (const batch of result.rows ?? [])
        for (const row of batch)
          rows.push(
            row.map((value, i) => {
              const bytes = session.encode(columns[i]?.typeOid ?? 0, 0, value);
              return bytes === null ? '∅' : Buffer.from(bytes).toString('utf8');
            }),
          );
      answer = {
        columns: columns.map(({ name, typeOid }) => `${name}:${shownType(typeOid)}`),
        rows,
        count: Number(/\d+$/.exec(result.commandTag())?.[0] ?? 0),
      };
    }
    if (statements.length > 1) await session.endImplicit({ commit: true });
    return answer;
  } catch (error) {
    if (session.transactionStatus === 'active') await session.endImplicit({ commit: false });
    const position = error.fields?.position;
    return {
      error: error.code ?? error.name,
      message: error.code === undefined ? error.stack : error.message,
      position: position === undefined ? undefined : String(position),
    };
  }
}
