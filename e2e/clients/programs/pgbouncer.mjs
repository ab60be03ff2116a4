/** pgbouncer in transaction mode before the gateway: more clients than connections, sessions that change hands after each transaction. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectEqual } from '../frame.mjs';
import { cancelRequest } from './cancel-request.mjs';

const poolSize = 3;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function start(world, directory) {
  const port = await freePort();
  const { host, port: gateway, user } = world.where;
  writeFileSync(join(directory, 'users.txt'), `"${user}" ""\n`);
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]
* = host=${host} port=${gateway}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${directory}/users.txt
pool_mode = transaction
default_pool_size = ${poolSize}
max_client_conn = 200
server_reset_query_always = 1
server_check_delay = 0
ignore_startup_parameters = extra_float_digits
admin_users = ${user}
`,
  );
  // It refuses to run as root.
  const asRoot = process.getuid() === 0;
  if (asRoot) {
    chmodSync(directory, 0o755);
    chownSync(directory, 65534, 65534);
  }
  const child = spawn(
    '/usr/sbin/pgbouncer',
    [...(asRoot ? ['-u', 'nobody'] : []), join(directory, 'pgbouncer.ini')],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  for await (const chunk of child.stderr) {
    said += chunk;
    if (said.includes('process up')) return { child, port };
  }
  throw new Error(`pgbouncer ended: ${said.slice(-300)}`);
}

export async function pgbouncer(world) {
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-pgbouncer-'));
  const { child, port } = await start(world, directory);
  child.stderr.resume();
  try {
    await checks(world, port);
  } finally {
    const gone = once(child, 'exit');
    child.kill('SIGINT');
    await Promise.race([gone, new Promise((done) => setTimeout(done, 5000).unref())]);
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
}

async function checks(world, port) {
  const env = { PGPORT: String(port) };
  const { Client, Pool } = world.load('pg');
  const where = { ...world.where, port };
  await world.check('pgbouncer', 'psql', () => {
    expectEqual(world.run('psql', ['-XAtqc', 'select 6 * 7'], { env }), '42\n');
  });
  await world.check('pgbouncer', 'pgbench, 20 clients on 3 connections', () => {
    world.run('pgbench', ['-i', '-q', '-s', '1'], { env });
    for (const mode of ['simple', 'extended'])
      world.run('pgbench', ['-n', '-M', mode, '-c', '20', '-t', '5', '--max-tries=50'], { env });
    expectEqual(
      world.psql(
        'select (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)',
      ),
      't\n',
    );
  });
  await world.check(
    'pgbouncer',
    'what a session has set does not reach the next client',
    async () => {
      const clients = Array.from({ length: 8 }, () => new Client(where));
      for (const one of clients) await one.connect();
      await clients[0].query("set search_path = elsewhere; set statement_timeout = '7s'");
      await clients[0].query('prepare leftover as select 1');
      for (let round = 0; round < 4; round++)
        for (const one of clients.slice(1)) {
          const { rows } = await one.query(
            "select current_setting('search_path') s, current_setting('statement_timeout') t, (select count(*)::int from pg_prepared_statements) n",
          );
          expectEqual(rows, [{ s: '"$user", public', t: '0', n: 0 }]);
        }
      for (const one of clients) await one.end();
    },
  );
  await world.check('pgbouncer', 'transactions keep their connection', async () => {
    const pool = new Pool({ ...where, max: 12 });
    await pool.query('drop table if exists m_bouncer');
    await pool.query('create table m_bouncer (id int primary key, n int)');
    await pool.query('insert into m_bouncer select g, 0 from generate_series(1, 12) g');
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const client = await pool.connect();
        await client.query('begin');
        for (let round = 0; round < 5; round++)
          await client.query('update m_bouncer set n = n + 1 where id = $1', [index + 1]);
        await client.query('commit');
        client.release();
      }),
    );
    const { rows } = await pool.query('select min(n), max(n) from m_bouncer');
    expectEqual(rows, [{ min: 5, max: 5 }]);
    await pool.end();
  });
  await world.check('pgbouncer', 'a cancel request reaches the statement', async () => {
    const client = new Client(where);
    await client.connect();
    client.on('error', () => {});
    const asleep = client.query('select pg_sleep(30)').then(
      () => 'not cancelled',
      (error) => error.code,
    );
    await new Promise((done) => setTimeout(done, 300));
    await cancelRequest(where, client.processID, client.secretKey);
    expectEqual(await asleep, '57014');
    await client.end();
  });
}
