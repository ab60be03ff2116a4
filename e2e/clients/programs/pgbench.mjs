/**
 * pgbench: its own tables in both ways that it loads them, a million rows in one transaction, then TPC-B in each protocol mode,
 * checked by its invariant.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expectEqual } from '../frame.mjs';

/** A machine that has other work to do needs minutes. */
const loadMsMax = 900_000;
const modes = ['simple', 'extended', 'prepared'];

export async function pgbench(world) {
  const run = (...args) => world.run('pgbench', args);
  const load = (...args) =>
    world.run('pgbench', ['-i', '-q', '-s', '10', ...args], { timeoutMs: loadMsMax });
  const count = () =>
    world.psql(
      "select (select count(*) from pgbench_accounts) || ' ' || (select count(*) from pgbench_tellers)",
    );
  await world.check('pgbench', '-i (dtgvp)', () => {
    load();
    expectEqual(count(), '1000000 100\n');
  });
  await world.check('pgbench', '-i -I dtGvpf', () => {
    load('-I', 'dtGvpf');
    expectEqual(count(), '1000000 100\n');
    expectEqual(
      world.psql(
        "select count(*) from pg_constraint where conrelid::regclass::text like 'pgbench%' and contype = 'f'",
      ),
      '5\n',
    );
  });
  for (const mode of modes) {
    await world.check('pgbench', `select-only, ${mode}`, () => {
      run('-M', mode, '-S', '-c', '4', '-t', '50');
    });
    // Without -n pgbench vacuums and truncates its history before each run.
    await world.check('pgbench', `tpcb-like, ${mode}, --max-tries`, () => {
      const before = world.psql('select sum(abalance) from pgbench_accounts');
      const said = run('-M', mode, '-c', '4', '-j', '2', '-t', '25', '--max-tries=50');
      const processed = /processed: (\d+)\/100/.exec(said)?.[1];
      const [accounts, branches, tellers, history, written] = world
        .psql(
          `select (select sum(abalance) from pgbench_accounts) - (${Number(before)}),
             (select sum(bbalance) from pgbench_branches), (select sum(tbalance) from pgbench_tellers),
             (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)`,
        )
        .trim()
        .split('|')
        .map(Number);
      expectEqual([processed, written], ['100', 100]);
      expectEqual([accounts, branches], [history, tellers]);
    });
  }
  await world.check('pgbench', 'pipeline', () => {
    const file = join(world.scratch, 'pipeline.sql');
    writeFileSync(
      file,
      '\\set a random(1, 1000000)\n\\startpipeline\nselect abalance from pgbench_accounts where aid = :a;\n' +
        'select 1;\nselect 2;\n\\endpipeline\n',
    );
    run('-n', '-M', 'extended', '-f', file, '-t', '20');
  });
  await world.check('pgbench', '-C, one connection for each transaction', () => {
    run('-n', '-C', '-S', '-c', '2', '-t', '10');
  });
}
