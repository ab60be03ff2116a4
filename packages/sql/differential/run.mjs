/**
 * Runs the same statements here and on a PostgreSQL 15 and prints where the answers differ: rows (in order where the
 * statement orders them, else as a bag), column names and types, SQLSTATEs, messages, positions. A difference in a
 * generated statement is made smaller before it is printed.
 *
 *   PGHOST=… PGPORT=… PGUSER=… pnpm --filter @flotilla/sql test:differential [--seed N] [--count N] [--only topic]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SeededPrng, SystemClock } from '@flotilla/base';
import pg from 'pg';
import { createSqlEngine } from '../dist/index.js';
import { MemoryKvDatabase } from '../dist/testing/index.js';
import { expressions } from './expressions.mjs';
import { generator } from './generate.mjs';

const options = { seed: 1, count: 500, only: '' };
for (let i = 2; i < process.argv.length; i += 2) {
  const name = process.argv[i]?.replace(/^--/, '') ?? '';
  const value = process.argv[i + 1] ?? '';
  options[name] = name === 'only' ? value : Number(value);
}

const schema = 'flotilla_differential';
const raw = { getTypeParser: () => (value) => value };

/** Types that a user made have another oid each time. */
function shownType(oid) {
  return oid < 16_384 ? oid : 'own';
}

async function openPostgres() {
  const client = new pg.Client({ database: 'postgres' });
  await client.connect();
  return {
    end: () => client.end(),
    reset: async () => {
      await client.query(
        `drop schema if exists ${schema} cascade; create schema ${schema}; set search_path = ${schema}; set client_min_messages = error; set timezone = 'UTC'; set statement_timeout = '20s'`,
      );
    },
    run: async (sql) => {
      try {
        const results = [await client.query({ text: sql, rowMode: 'array', types: raw })].flat();
        const result = results[results.length - 1];
        return {
          columns: result.fields.map((field) => `${field.name}:${shownType(field.dataTypeID)}`),
          rows: result.rows.map((row) => row.map((value) => (value === null ? '∅' : value))),
          count: result.rowCount,
        };
      } catch (error) {
        return { error: error.code, message: error.message, position: error.position };
      }
    },
  };
}

async function openFlotilla() {
  let session;
  return {
    end: async () => undefined,
    reset: async () => {
      const engine = await createSqlEngine({
        database: new MemoryKvDatabase({ batchPairs: 7 }),
        clock: new SystemClock(),
        prng: new SeededPrng(1),
      });
      session = engine.createSession({ user: 'postgres', database: 'postgres' });
    },
    run: async (sql) => {
      try {
        let answer = { columns: [], rows: [], count: 0 };
        for (const statement of session.parse(sql)) {
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
        return answer;
      } catch (error) {
        const position = error.fields?.position;
        return {
          error: error.code ?? error.name,
          message: error.code === undefined ? error.stack : error.message,
          position: position === undefined ? undefined : String(position),
        };
      }
    },
  };
}

/** The statements of a file of recorded cases that take no parameters. */
function readStatements(file) {
  return readFileSync(file, 'utf8')
    .split(/\n\n+/)
    .flatMap((block) => {
      const lines = block.trim().split('\n');
      const end = lines.indexOf('----');
      const input = lines.slice(0, end < 0 ? lines.length : end);
      if (input.some((line) => line.startsWith('$ '))) return [];
      return input.filter((line) => !line.startsWith('# ')).join('\n');
    })
    .filter((sql) => sql !== '');
}

/** The last ORDER BY outside of parentheses: then the order of rows counts. */
function isOrdered(sql) {
  let depth = 0;
  for (let i = 0; i < sql.length; i++) {
    if (sql[i] === '(') depth++;
    else if (sql[i] === ')') depth--;
    else if (depth === 0 && /^order by/i.test(sql.slice(i, i + 8))) return true;
  }
  return false;
}

/** The last digits of floats may differ where sums run in another order. */
function shown(row) {
  return row
    .map((value) => (/^-?\d+\.\d{9,}$/.test(value) ? Number(value).toPrecision(12) : value))
    .join('|');
}

export function difference(sql, theirs, ours) {
  if (theirs.error !== undefined || ours.error !== undefined) {
    if (theirs.error !== ours.error) return 'error';
    if (theirs.message !== ours.message) return 'message';
    return theirs.position === ours.position ? undefined : 'position';
  }
  if (theirs.columns.join() !== ours.columns.join()) return 'columns';
  if (theirs.columns.length === 0) return undefined;
  const order = isOrdered(sql) ? (rows) => rows : (rows) => [...rows].sort();
  const a = order(theirs.rows.map(shown));
  const b = order(ours.rows.map(shown));
  return a.join('\n') === b.join('\n') ? undefined : 'rows';
}

function answerText(answer) {
  if (answer.error !== undefined)
    return `${answer.error} @${answer.position ?? '-'} ${answer.message}`;
  const rows = answer.rows.slice(0, 12).map(shown);
  return [`(${answer.columns.join(' ')}) ${answer.rows.length} rows`, ...rows].join('\n      ');
}

const theirs = await openPostgres();
const ours = await openFlotilla();
let differences = 0;
let statements = 0;
const kinds = new Map();

let failed = 0;
let returned = 0;

async function both(sql) {
  const [a, b] = [await theirs.run(sql), await ours.run(sql)];
  if (a.error !== undefined) failed++;
  returned += a.rows?.length ?? 0;
  return { a, b, kind: difference(sql, a, b) };
}

function report(where, sql, { a, b, kind }) {
  differences++;
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  process.stdout.write(
    `\n${where}: ${kind}\n  ${sql.replaceAll('\n', '\n  ')}\n  pg:   ${answerText(a)}\n  ours: ${answerText(b)}\n`,
  );
}

const directory = join(import.meta.dirname, '../testdata/postgres');
const topics = [
  'joins',
  'sets',
  'subqueries',
  'windows',
  'writes',
  'types',
  'arrays',
  'datetime',
  'json',
  'texts',
  'numbers',
  'regexps',
  'aggregates',
  'enums',
  'set-functions',
  'powers',
  'whole-rows',
];
for (const name of readdirSync(directory).sort()) {
  if (!topics.includes(name.replace('.txt', '')) || !name.includes(options.only)) continue;
  await theirs.reset();
  await ours.reset();
  for (const sql of readStatements(join(directory, name))) {
    statements++;
    const result = await both(sql);
    if (result.kind !== undefined) report(name, sql, result);
  }
}

for (const [name, make] of [
  ['generated', generator],
  ['expressions', expressions],
]) {
  if (options.only !== '' && options.only !== name) continue;
  const { setup, statement, smaller } = make(new SeededPrng(options.seed));
  await theirs.reset();
  await ours.reset();
  for (const sql of setup) {
    const result = await both(sql);
    if (result.kind !== undefined) report('setup', sql, result);
  }
  for (let i = 0; i < options.count; i++) {
    statements++;
    let tree = statement();
    let result = await both(tree.sql());
    if (result.kind === undefined || result.kind === 'message' || result.kind === 'position')
      continue;
    for (let found = true; found; ) {
      found = false;
      for (const candidate of smaller(tree)) {
        const again = await both(candidate.sql());
        if (again.kind !== result.kind) continue;
        if (
          again.kind === 'error' &&
          (again.a.error !== result.a.error || again.b.error !== result.b.error)
        )
          continue;
        [tree, result, found] = [candidate, again, true];
        break;
      }
    }
    report(`${name} ${options.seed}/${i}`, tree.sql(), result);
  }
}

await theirs.end();
process.stdout.write(
  `\n${statements} statements (${failed} fail on PostgreSQL, the others return ${returned} rows), ${differences} differences ${JSON.stringify(Object.fromEntries(kinds))}\n`,
);
process.exitCode = differences === 0 ? 0 : 1;
