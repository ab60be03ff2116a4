/** The tables of pgbench, filled as `pgbench -i` does it but for the size of transactions; and the counter. */
import type { System } from '../systems/system.ts';
import { copyRows } from './copy-rows.ts';
import { psql, run, sqlUrl } from './programs.ts';

const accountsPerBranch = 100_000;
const tellersPerBranch = 10;

/** Accounts are numbered from 1 to this. */
export function accountsOf(scale: number): number {
  return scale * accountsPerBranch;
}

export async function fillPgbenchTables(system: System, scale: number): Promise<void> {
  const url = sqlUrl(system);
  await run('pgbench', ['-i', '-I', 'dt', '-q', '-s', String(scale), url]);
  const keys = { branches: 'bid', tellers: 'tid', accounts: 'aid' };
  const alter = Object.entries(keys).map(
    ([table, key]) => `ALTER TABLE pgbench_${table} ADD PRIMARY KEY (${key});`,
  );
  const counter = `DROP TABLE IF EXISTS counter;
CREATE TABLE counter (id int PRIMARY KEY, n bigint NOT NULL);
INSERT INTO counter VALUES (1, 0);`;
  await psql(url, [...alter, counter].join('\n'));
  await psql(url, rowsOf(scale));
}

function* rowsOf(scale: number): Generator<string> {
  const branchOf = (n: number, per: number): number => Math.floor(n / per) + 1;
  yield* copyRows('pgbench_branches', scale, (n) => `${n + 1}\t0\t\\N`);
  yield* copyRows(
    'pgbench_tellers',
    scale * tellersPerBranch,
    (n) => `${n + 1}\t${branchOf(n, tellersPerBranch)}\t0\t\\N`,
  );
  yield* copyRows(
    'pgbench_accounts',
    accountsOf(scale),
    (n) => `${n + 1}\t${branchOf(n, accountsPerBranch)}\t0\t`,
  );
}
