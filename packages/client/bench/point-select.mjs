/**
 * What a point select costs between a session of SQL and LevelDB: engine, coordinator, router and store in this process, frames
 * handed over in memory, no sockets. CPU time of this process per select, user and system, with as many sessions as `pgbench -c 32`.
 * Another checkout can be measured in turns with this one: `node packages/client/bench/point-select.mjs --against DIR`.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    against: { type: 'string' },
    sessions: { type: 'string', default: '32' },
    selects: { type: 'string', default: '60000' },
    rounds: { type: 'string', default: '9' },
    worker: { type: 'boolean', default: false },
  },
});
const [sessions, selects, rounds] = [options.sessions, options.selects, options.rounds].map(Number);
const rows = 20_000;

if (options.worker) await work();
else await compare();

/** Makes a database, then runs a round of selects for every line on standard input and prints what one select cost. */
async function work() {
  const { connect } = await import('../dist/index.js');
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-point-select-'));
  const db = await connect({ embedded: true, path: directory });
  await db.sql`CREATE TABLE t (id int PRIMARY KEY, x int, filler char(84))`;
  const values = function* () {
    for (let id = 0; id < rows; id++) yield { id, x: id % 7, filler: '' };
  };
  await db.bulkInsert('t', values(), { transactions: 'many' });
  const users = [];
  for (let i = 0; i < sessions; i++) {
    const session = db.createSession({ user: 'flotilla', database: 'flotilla' });
    const [statement] = session.parse('SELECT x FROM t WHERE id = $1');
    const { signal } = new AbortController();
    users.push({ session, signal, prepared: await session.prepare(statement, []) });
  }
  const select = async ({ session, signal, prepared }, id) => {
    const { allRows } = await session.execute(prepared, [id], { signal });
    if (allRows?.[0]?.[0] !== id % 7) throw new Error(`row ${id} is not what was written`);
  };
  let next = 1;
  const round = async (count) => {
    let left = count;
    const serve = async (user) => {
      while (left-- > 0) {
        next = (next * 48_271) % 2_147_483_647;
        await select(user, next % rows);
      }
    };
    await Promise.all(users.map(serve));
  };
  await round(selects);
  process.stdout.write('ready\n');
  for await (const _line of createInterface({ input: process.stdin })) {
    const before = process.cpuUsage();
    await round(selects);
    const { user, system } = process.cpuUsage(before);
    process.stdout.write(`${(user + system) / selects}\n`);
  }
  for (const { session } of users) session.close();
  await db.close();
  await rm(directory, { recursive: true });
}

async function compare() {
  const own = fileURLToPath(import.meta.url);
  const places = [{ name: 'this checkout', file: own }];
  if (options.against !== undefined)
    places.push({
      name: options.against,
      file: join(options.against, 'packages/client/bench/point-select.mjs'),
    });
  const workers = [];
  for (const { name, file } of places) {
    const args = ['--sessions', options.sessions, '--selects', options.selects];
    const child = spawn(process.execPath, [file, '--worker', ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    if ((await lines.next()).value !== 'ready') throw new Error(`${name} does not work`);
    workers.push({ name, child, lines, costs: [] });
  }
  for (let round = 0; round < rounds; round++) {
    const turn = round % 2 === 0 ? workers : [...workers].reverse();
    for (const { child, lines, costs } of turn) {
      child.stdin.write('\n');
      costs.push(Number((await lines.next()).value));
    }
  }
  for (const { name, child, costs } of workers) {
    child.stdin.end();
    costs.sort((a, b) => a - b);
    const [least, median] = [costs[0], costs[costs.length >> 1]].map((cost) => cost.toFixed(1));
    process.stdout.write(`${name}: ${median} us of CPU per select (least ${least})\n`);
  }
}
