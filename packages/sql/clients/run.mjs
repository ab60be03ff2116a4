/**
 * Runs what clients ask of the system tables (testdata/clients) here and on a live PostgreSQL 15, and prints how many of the
 * statements run with the same columns and types, and what is wrong with the others. Exits with 1 below `--least N`.
 * Usage: PGHOST=… PGPORT=… PGUSER=… pnpm test:postgres-queries [--least N] [--rows]
 * With --rows, statements whose rows differ are told too; oids and owners differ as a matter of course.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SystemClock } from '@flotilla/base';
import { createSqlEngine } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import pg from 'pg';

const { values: options } = parseArgs({
  options: { least: { type: 'string', default: '0' }, rows: { type: 'boolean', default: false } },
});
const directory = join(import.meta.dirname, '../testdata/clients');
const objects = readFileSync(join(directory, 'objects.sql'), 'utf8');
const cases = readFileSync(join(directory, 'queries.sql'), 'utf8')
  .split(/\n\n(?=-- )/)
  .slice(1)
  .map((block) => {
    const end = block.indexOf('\n');
    return {
      client: block.slice(3, end),
      sql: block
        .slice(end + 1)
        .trim()
        .replace(/;$/, ''),
    };
  });

async function here() {
  const engine = await createSqlEngine({
    database: new MemoryKvDatabase(),
    clock: new SystemClock(),
  });
  const session = engine.createSession({ user: 'postgres', database: 'clients' });
  const run = async (sql) => {
    let answer = { columns: [], rows: [] };
    for (const statement of session.parse(sql)) {
      const result = await session.execute(await session.prepare(statement, []), []);
      const columns = (result.columns ?? []).map(({ name, typeOid }) => `${name}:${typeOid}`);
      const rows = [];
      for await (const batch of result.rows ?? [])
        for (const row of batch)
          rows.push(
            row.map((value, i) => {
              const bytes = session.encode(result.columns[i].typeOid, 0, value);
              return bytes === null ? null : Buffer.from(bytes).toString('utf8');
            }),
          );
      answer = { columns, rows };
    }
    return answer;
  };
  await run(objects);
  return run;
}

async function there() {
  const admin = new pg.Client({ database: 'postgres' });
  await admin.connect();
  await admin.query('drop database if exists clients');
  await admin.query('create database clients');
  await admin.end();
  const client = new pg.Client({ database: 'clients' });
  await client.connect();
  await client.query(objects);
  const types = { getTypeParser: () => (value) => value };
  const run = async (sql) => {
    const { fields, rows } = await client.query({ text: sql, rowMode: 'array', types });
    return { columns: fields.map((field) => `${field.name}:${field.dataTypeID}`), rows };
  };
  return { run, end: () => client.end() };
}

const postgres = await there();
const flotilla = await here();
let same = 0;
let sameRows = 0;
for (const { client, sql } of cases) {
  const expected = await postgres.run(sql);
  let problem;
  try {
    const found = await flotilla(sql);
    if (found.columns.join() !== expected.columns.join())
      problem = `columns ${found.columns.join()} instead of ${expected.columns.join()}`;
    else {
      same++;
      const equal = JSON.stringify(found.rows) === JSON.stringify(expected.rows);
      if (equal) sameRows++;
      else if (options.rows)
        process.stdout.write(
          `${client}: rows\n  ${JSON.stringify(found.rows).slice(0, 600)}\n  ${JSON.stringify(expected.rows).slice(0, 600)}\n`,
        );
    }
  } catch (error) {
    problem = `${error.code} ${error.message}`;
  }
  if (problem !== undefined) process.stdout.write(`${client}: ${problem}\n`);
}
await postgres.end();
process.stdout.write(
  `${same} of ${cases.length} statements run with the same columns and types, ${sameRows} with the same rows\n`,
);
process.exit(same < Number(options.least) ? 1 : 0);
