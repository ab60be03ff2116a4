/**
 * What an embedded database costs: CPU time of this process, store included, per opening and per operation. Clocks on walls
 * are not asked, so that other work on the machine does not matter. `pnpm run bench:embedded`.
 */
import { connect } from '../dist/index.js';

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

async function report(name, times, work) {
  const begun = cpuMs();
  await work();
  const each = ((cpuMs() - begun) / times) * 1000;
  process.stdout.write(`${name.padEnd(34)} ${each.toFixed(1).padStart(10)} us of CPU\n`);
}

for (let opening = 1; opening <= 5; opening++) {
  let db;
  await report(`opening number ${opening}`, 1, async () => {
    db = await connect({ embedded: true });
  });
  await db.close();
}

const db = await connect({ embedded: true });
await db.sql`CREATE TABLE t (id int PRIMARY KEY, x text)`;
const rows = 50_000;
const values = function* (from) {
  for (let id = from; id < from + rows; id++) yield { id, x: `value ${id}` };
};
for (let round = 1; round <= 3; round++) {
  const many = { transactions: 'many' };
  await report('bulkInsert, per row', rows, () => db.bulkInsert('t', values(round * rows), many));
  await report('stream, per row', rows, async () => {
    let left = rows;
    for await (const _row of db.sql.stream`SELECT * FROM t`) if (--left === 0) break;
  });
  const byId = await db.sql.prepare('SELECT x FROM t WHERE id = $1');
  const repeat = async (work) => {
    for (let i = 0; i < 3000; i++) await work(round * rows + i);
  };
  await report('select by key', 3000, () =>
    repeat((id) => db.sql`SELECT x FROM t WHERE id = ${id}`),
  );
  await report('the same, prepared', 3000, () => repeat((id) => byId.run(id)));
  await report('insert', 3000, () => repeat((id) => db.sql`INSERT INTO t VALUES (${-id}, 'x')`));
  await report('kv.get', 3000, () => repeat((id) => db.kv.get(`${id}`)));
  await report('kv.put', 3000, () => repeat((id) => db.kv.put(`${id}`, 'x')));
}
await db.close();
