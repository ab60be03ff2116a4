/**
 * Generated writes by several sessions while another one changes the schema under them: columns come and go, indexes, unique ones
 * among them, and constraints. Every session writes rows of its own and knows what each of its commits has done; at the end the
 * table must be the sum of that, every index must hold the same rows, and every column that was added the value it was added
 * with. Runs against the server that PGHOST and PGPORT name: a cluster, or PostgreSQL as a control; without PGHOST over two engines
here that share one store in memory.
 *
 *   PGHOST=… PGPORT=… PGUSER=… PGDATABASE=… node packages/sql/differential/schema-changes.mjs [--seed N] [--sessions N] [--writes N]
 *
 * `--writes` is how many transactions each session begins.
 */
import { SeededPrng, SystemClock } from '@flotilla/base';
import pg from 'pg';
import { createSqlEngine } from '../dist/index.js';
import { MemoryKvDatabase } from '../dist/testing/index.js';

const options = { seed: 1, sessions: 4, writes: 200 };
for (let i = 2; i < process.argv.length; i += 2)
  options[process.argv[i]?.replace(/^--/, '') ?? ''] = Number(process.argv[i + 1]);

/** Nothing of the transaction has taken effect, and it may be tried again. */
const conflicts = new Set(['40001', '40P01', '55P03']);
const counts = { committed: 0, refused: 0, unknown: 0, changes: 0, changesRefused: 0 };

const engines = process.env.PGHOST === undefined ? await twoEngines() : [];
let connections = 0;

/** As two gateways over one store: each with a catalog of its own. */
async function twoEngines() {
  const database = new MemoryKvDatabase();
  const engine = (seed) =>
    createSqlEngine({ database, clock: new SystemClock(), prng: new SeededPrng(seed) });
  return [await engine(1), await engine(2)];
}

async function connect() {
  const engine = engines[connections++ % 2];
  if (engine !== undefined)
    return new EngineClient(engine.createSession({ user: 'postgres', database: 'postgres' }));
  const client = new pg.Client();
  await client.connect();
  return client;
}

/** What of pg's client is used here, over a session. */
class EngineClient {
  constructor(session) {
    this.session = session;
  }

  async query(query) {
    const { session } = this;
    const [statement] = session.parse(query.text ?? query);
    const result = await session.execute(await session.prepare(statement, []), []);
    const rows = [];
    for await (const batch of result.rows ?? [])
      for (const row of batch)
        rows.push(
          row.map((value, i) => {
            const bytes = session.encode(result.columns[i].typeOid, 0, value);
            return bytes === null ? null : Buffer.from(bytes).toString('utf8');
          }),
        );
    // Others come to word; changes of the schema meet fewer conflicts where writers pause.
    await new Promise((resolve) => setTimeout(resolve, 1));
    return { rows, rowCount: Number(/\d+$/.exec(result.commandTag())?.[0] ?? 0) };
  }

  async end() {
    this.session.close();
  }
}

/** One session's rows: by id, as its acknowledged commits have left them. */
class Writer {
  constructor(number, client, prng) {
    this.number = number;
    this.client = client;
    this.prng = prng;
    this.rows = new Map();
    this.next = 0;
  }

  /** Nobody else has the id or the value. */
  fresh() {
    const n = this.next++ * options.sessions + this.number;
    return { id: n, v: n * 10, s: `s${n % 7}` };
  }

  pick() {
    const ids = [...this.rows.keys()];
    return ids[this.prng.nextBelow(ids.length)];
  }

  /** A statement and what it does to the rows, by the rows as the transaction sees them. */
  statement(rows) {
    const roll = this.prng.nextBelow(100);
    if (roll < 45 || rows.size === 0) {
      const made = Array.from({ length: 1 + this.prng.nextBelow(3) }, () => this.fresh());
      for (const row of made) rows.set(row.id, row);
      return {
        sql: `insert into h (id, v, s) values ${made.map(({ id, v, s }) => `(${id}, ${v}, '${s}')`).join(', ')}`,
        count: made.length,
      };
    }
    const ids = [...rows.keys()];
    const id = ids[this.prng.nextBelow(ids.length)];
    const row = rows.get(id);
    if (roll < 75) {
      const v = (row.v % 10 === 9 ? row.v - 9 : row.v + 1) | 0;
      rows.set(id, { id, v, s: row.s });
      return { sql: `update h set v = ${v} where id = ${id}`, count: 1 };
    }
    if (roll < 85) {
      const s = `t${this.prng.nextBelow(5)}`;
      rows.set(id, { ...row, s });
      return { sql: `update h set s = '${s}' where v = ${row.v}`, count: 1 };
    }
    rows.delete(id);
    return { sql: `delete from h where id = ${id}`, count: 1 };
  }

  async transaction() {
    const rows = new Map(this.rows);
    const block = this.prng.nextBelow(3) === 0;
    const statements = Array.from({ length: block ? 1 + this.prng.nextBelow(4) : 1 }, () =>
      this.statement(rows),
    );
    let committing = false;
    try {
      if (block)
        await this.client.query(
          this.prng.nextBelow(2) === 0 ? 'begin' : 'begin isolation level read committed',
        );
      for (const { sql, count } of statements) {
        committing = !block;
        const { rowCount } = await this.client.query(sql);
        if (rowCount !== count) throw new Error(`${sql}: ${rowCount} rows instead of ${count}`);
      }
      committing = true;
      if (block) await this.client.query('commit');
      this.rows = rows;
      counts.committed++;
    } catch (error) {
      if (block) await this.client.query('rollback').catch(() => undefined);
      if (conflicts.has(error.code)) counts.refused++;
      else if (error.code === '40003' && committing) await this.learn(rows);
      else
        throw new Error(
          `${statements.map(({ sql }) => sql).join('; ')}: ${error.code} ${error.message}`,
        );
    }
  }

  /** It is not known whether the commit took effect: the rows say so. */
  async learn(rows) {
    counts.unknown++;
    const before = shown(this.rows);
    for (let run = 0; run < 20; run++) {
      const { rows: found } = await this.client.query({
        text: `select id, v, s from h where id % ${options.sessions} = ${this.number} order by id`,
        rowMode: 'array',
      });
      const now = found.map((row) => row.join()).join('\n');
      if (now === shown(rows)) {
        this.rows = rows;
        return;
      }
      if (now === before) return;
    }
    throw new Error('the rows are neither those before the commit nor those after it');
  }

  async run() {
    for (let i = 0; i < options.writes; i++) await this.transaction();
  }
}

function shown(rows) {
  return [...rows.values()]
    .sort((a, b) => a.id - b.id)
    .map(({ id, v, s }) => `${id},${v},${s}`)
    .join('\n');
}

/** What changes the schema, and what it leaves there. */
class Changer {
  constructor(client, prng) {
    this.client = client;
    this.prng = prng;
    this.columns = new Set();
    this.indexes = new Set();
    this.checks = new Set();
    this.next = 0;
  }

  change() {
    const toggle = (set, name, make, drop) => {
      const has = set.has(name);
      return { sql: has ? drop : make, done: () => (has ? set.delete(name) : set.add(name)) };
    };
    const kind = this.prng.nextBelow(6);
    if (kind === 0) {
      const n = this.next++ % 4;
      return toggle(
        this.columns,
        `c${n}`,
        `alter table h add column c${n} int not null default ${n + 100}`,
        `alter table h drop column c${n}`,
      );
    }
    if (kind <= 2)
      return toggle(this.indexes, 'h_v', 'create unique index h_v on h (v)', 'drop index h_v');
    if (kind === 3)
      return toggle(this.indexes, 'h_s', 'create index h_s on h (s) include (v)', 'drop index h_s');
    if (kind === 4)
      return toggle(this.indexes, 'h_e', 'create index h_e on h ((v / 10), s)', 'drop index h_e');
    return toggle(
      this.checks,
      'h_small',
      'alter table h add constraint h_small check (v >= 0)',
      'alter table h drop constraint h_small',
    );
  }

  async run(ended) {
    while (!ended()) {
      const { sql, done } = this.change();
      try {
        await this.client.query(sql);
        done();
        counts.changes++;
      } catch (error) {
        if (!conflicts.has(error.code)) throw new Error(`${sql}: ${error.code} ${error.message}`);
        counts.changesRefused++;
      }
    }
    // Those that were made while rows were written are the ones to look at.
    for (const [name, sql] of [
      ['h_v', 'create unique index h_v on h (v)'],
      ['h_s', 'create index h_s on h (s) include (v)'],
      ['h_e', 'create index h_e on h ((v / 10), s)'],
    ])
      if (!this.indexes.has(name)) await this.client.query(sql);
  }
}

async function rowsOf(client, sql) {
  const { rows } = await client.query({ text: sql, rowMode: 'array' });
  return rows.map((row) => row.join()).join('\n');
}

async function check(client, writers, changer) {
  const all = new Map(writers.flatMap(({ rows }) => [...rows]));
  const expected = shown(all);
  const sorted = [...all.values()];
  const lines = (rows, show) => rows.map(show).join('\n');
  const queries = [
    ['the table', 'select id, v, s from h order by id', expected],
    [
      'the unique index',
      'select v, id from h where v >= 0 order by v',
      lines(
        sorted.toSorted((a, b) => a.v - b.v),
        ({ id, v }) => `${v},${id}`,
      ),
    ],
    [
      'the index with a column in it',
      `select s, v from h where s >= 'a' order by s, v`,
      lines(
        sorted.toSorted((a, b) => (a.s < b.s ? -1 : a.s > b.s ? 1 : a.v - b.v)),
        ({ s, v }) => `${s},${v}`,
      ),
    ],
    [
      'the index on an expression',
      `select v / 10, id from h where v / 10 >= 0 order by v / 10, id`,
      lines(
        sorted.toSorted((a, b) => Math.floor(a.v / 10) - Math.floor(b.v / 10) || a.id - b.id),
        ({ v, id }) => `${Math.floor(v / 10)},${id}`,
      ),
    ],
    ...[...changer.columns].map((name) => [
      `column ${name}`,
      `select count(*) from h where ${name} is distinct from ${100 + Number(name.slice(1))}`,
      '0',
    ]),
  ];
  const failures = [];
  for (const [what, sql, wanted] of queries)
    if ((await rowsOf(client, sql)) !== wanted) failures.push(what);
  for (const { v, id } of sorted)
    if ((await rowsOf(client, `select id from h where v = ${v}`)) !== String(id))
      failures.push(`the entry of ${v}`);
  return failures;
}

// The engine's own timers do not keep a process alive.
const alive = setInterval(() => undefined, 1_000);
const prng = new SeededPrng(options.seed);
const admin = await connect();
await admin.query('drop table if exists h');
await admin.query('create table h (id int primary key, v int not null, s text)');
const writers = [];
for (let number = 0; number < options.sessions; number++)
  writers.push(new Writer(number, await connect(), new SeededPrng(prng.nextUint32())));
const changer = new Changer(await connect(), prng);
let ended = false;
const changing = changer.run(() => ended);
await Promise.all(writers.map((one) => one.run()));
ended = true;
await changing;
const failures = await check(admin, writers, changer);
for (const { client } of [...writers, changer]) await client.end();
await admin.end();
clearInterval(alive);
process.stdout.write(
  `seed ${options.seed}: ${counts.committed} transactions committed, ${counts.refused} refused, ${counts.unknown} unknown; ` +
    `${counts.changes} changes of the schema, ${counts.changesRefused} refused; ` +
    `${failures.length === 0 ? 'table and indexes are what was committed' : `DIFFERENT: ${failures.slice(0, 10).join(', ')}`}\n`,
);
process.exitCode = failures.length === 0 ? 0 : 1;
