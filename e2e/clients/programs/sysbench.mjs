/** sysbench's OLTP scripts with its PostgreSQL driver: server-side prepared statements, binary results. */
import { expectEqual } from '../frame.mjs';

export async function sysbench(world) {
  const { host, port, user, database } = world.where;
  const run = (script, ...rest) =>
    world.run('sysbench', [
      script,
      '--db-driver=pgsql',
      `--pgsql-host=${host}`,
      `--pgsql-port=${port}`,
      `--pgsql-user=${user}`,
      `--pgsql-db=${database}`,
      '--tables=2',
      '--table-size=1000',
      '--threads=4',
      '--events=40',
      '--time=120',
      ...rest,
    ]);
  world.psql('drop table if exists sbtest1, sbtest2');
  await world.check('sysbench', 'prepare', () => {
    run('oltp_read_write', 'prepare');
    expectEqual(world.psql('select count(*), max(id) from sbtest1'), '1000|1000\n');
  });
  for (const script of [
    'oltp_point_select',
    'oltp_read_write',
    'oltp_read_only',
    'oltp_write_only',
    'oltp_update_index',
    'select_random_points',
    'select_random_ranges',
  ])
    await world.check('sysbench', script, () => {
      const said = run(script, 'run');
      expectEqual(/total number of events: +(\d+)/.exec(said)?.[1], '40');
    });
  await world.check('sysbench', 'oltp_read_write, simple protocol', () => {
    run('oltp_read_write', '--db-ps-mode=disable', 'run');
  });
  await world.check('sysbench', 'cleanup', () => {
    run('oltp_read_write', 'cleanup');
    expectEqual(world.psql("select to_regclass('sbtest1') is null"), 't\n');
  });
}
