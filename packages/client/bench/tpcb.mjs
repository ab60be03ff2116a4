/**
 * CPU of a transaction like pgbench's TPC-B, from the parsed statements to the store and back, in one process: sessions of
 * the SQL engine over a store in memory. No socket, no log on disk, no follower: what is left is the code. It is told window
 * by window, because code that V8 has not compiled yet costs several times as much, and for thousands of transactions.
 * Clocks on walls are not asked, so that other work on the machine disturbs little: compare figures of runs side by side.
 */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { osPrng, silentLogger } from '@flotilla/base';
import { openEmbeddedCluster } from '@flotilla/embedded';
import { createRouter } from '@flotilla/router';
import { createSqlEngine, createStorePrograms } from '@flotilla/sql';
import { createInspector } from '../dist/inspector.js';
import { TransactionDatabase } from '../dist/transaction/transaction-database.js';

const help = `Usage: pnpm bench:tpcb [options]

CPU (user + system) of the process per transaction: 10 branches, 100 tellers, 10,000 accounts.

  --clients N        default 32
  --windows N        default 12
  --transactions N   of a window (default 1000)
  --cut              history, tellers with branches, and accounts are a range each
  --profile FILE     a V8 CPU profile of the last window goes there
  --help             this text
`;

const text = (byDefault) => ({ type: 'string', default: byDefault });
const { values } = parseArgs({
  options: {
    clients: text('32'),
    windows: text('12'),
    transactions: text('1000'),
    cut: { type: 'boolean' },
    profile: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}

const branches = 10;
const tellers = 100;
const accounts = 10_000;
const tables = `
  CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  CREATE TABLE tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
  CREATE TABLE branches (bid int PRIMARY KEY, bbalance int, filler char(88));
  CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
  INSERT INTO branches SELECT g, 0, '' FROM generate_series(1, ${branches}) g;
  INSERT INTO tellers SELECT g, 1, 0, '' FROM generate_series(1, ${tellers}) g;
  INSERT INTO accounts SELECT g, 1, 0, '' FROM generate_series(1, ${accounts}) g;
`;
const transaction = [
  'BEGIN',
  'UPDATE accounts SET abalance = abalance + $1 WHERE aid = $2',
  'SELECT abalance FROM accounts WHERE aid = $1',
  'UPDATE tellers SET tbalance = tbalance + $1 WHERE tid = $2',
  'UPDATE branches SET bbalance = bbalance + $1 WHERE bid = $2',
  'INSERT INTO history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)',
  'END',
];

const prng = osPrng();
const logger = silentLogger;
const cluster = await openEmbeddedCluster({ programs: createStorePrograms() });
const { clock } = cluster;
const router = createRouter({ transport: cluster.transport, clock, prng, logger });
const database = new TransactionDatabase({ router, clock, prng, logger });
const engine = await createSqlEngine({
  ...{ database, clock, prng, logger, peers: router.peers },
  ...{ cluster: createInspector(router, clock), catalogLease: true, autoAnalyze: true },
});
const newSession = () => engine.createSession({ user: 'flotilla', database: 'flotilla' });

async function rowsOf(result) {
  const rows = [];
  for await (const batch of result.rows ?? []) rows.push(...batch);
  return rows;
}

async function script(session, statements) {
  let rows = [];
  for (const statement of session.parse(statements))
    rows = await rowsOf(await session.execute(await session.prepare(statement, []), []));
  return rows;
}

/** A table's rows begin at its storage's id behind the byte of the table space. */
async function cutBefore(session, table) {
  const [row] = await script(
    session,
    `SELECT to_hex(relfilenode::bigint) FROM pg_class WHERE relname = '${table}'`,
  );
  await router.split(Buffer.from(`10${String(row[0]).padStart(8, '0')}`, 'hex'));
}

let done = 0;
let failed = 0;
let stopped = false;

async function client() {
  const session = newSession();
  const prepared = [];
  for (const statement of transaction)
    prepared.push(await session.prepare(session.parse(statement)[0], []));
  const run = async (at, ...parameters) =>
    rowsOf(await session.execute(prepared[at], parameters.map(String)));
  while (!stopped) {
    const [aid, tid, bid] = [accounts, tellers, branches].map((n) => 1 + prng.nextBelow(n));
    const delta = prng.nextBelow(10_000) - 5000;
    try {
      await run(0);
      await run(1, delta, aid);
      await run(2, aid);
      await run(3, delta, tid);
      await run(4, delta, bid);
      await run(5, tid, bid, aid, delta);
      await run(6);
      done++;
    } catch {
      failed++;
      await script(session, 'ROLLBACK');
    }
  }
  session.close();
}

const first = newSession();
await script(first, tables);
if (values.cut) for (const table of ['tellers', 'accounts']) await cutBefore(first, table);
const clients = Array.from({ length: Number(values.clients) }, client);
const windows = Number(values.windows);
const inspector = new Session();
inspector.connect();
for (let window = 1; window <= windows; window++) {
  const profiles = values.profile !== undefined && window === windows;
  if (profiles) {
    await inspector.post('Profiler.enable');
    await inspector.post('Profiler.start');
  }
  const until = done + Number(values.transactions);
  const [before, begun] = [done, process.cpuUsage()];
  while (done < until) await sleep(10);
  const { user, system } = process.cpuUsage(begun);
  const each = (user + system) / (done - before);
  process.stdout.write(`window ${window}: ${each.toFixed(0)} us of CPU per transaction\n`);
  if (!profiles) continue;
  const { profile } = await inspector.post('Profiler.stop');
  writeFileSync(values.profile, JSON.stringify(profile));
}
stopped = true;
await Promise.all(clients);
process.stdout.write(`${done} transactions committed, ${failed} failed\n`);
await engine.close();
await database.close();
await router.close();
await cluster.close();
