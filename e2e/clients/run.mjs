/**
 * The client matrix: real clients, unmodified, against a running cluster. Starts a demo of its own unless it is given an address;
 * packages from npm go into a temporary directory. Prints a table; exit code 1 if a client that is here fails.
 *
 * Usage: pnpm e2e:clients [--url postgres://…] [--only NAME] [--keep]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    only: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (options.help) {
  process.stdout.write(`Usage: pnpm e2e:clients [--url URL] [--only NAME] [--keep]

Runs psql, pgbench, sysbench, node-postgres, postgres.js, Kysely, Knex, Drizzle and TypeORM against a cluster. Programs that are not
installed are left out by name. --url: a cluster that runs already; --keep: leaves the packages from npm where they are.
`);
  process.exit(0);
}

const root = join(import.meta.dirname, '../..');
const scratch = mkdtempSync(join(tmpdir(), 'flotilla-clients-'));
const demoData = join(scratch, 'demo');

function startDemo() {
  const output = execFileSync(
    join(root, 'bin/demo'),
    ['--background', '--json', '--data', demoData],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return JSON.parse(output.trim().split('\n').at(-1)).gateways[0];
}

const url = new URL(options.url ?? startDemo());
const where = {
  host: url.hostname,
  port: Number(url.port),
  user: 'postgres',
  database: 'flotilla',
};
const env = {
  ...process.env,
  PGHOST: where.host,
  PGPORT: String(where.port),
  PGUSER: 'postgres',
  PGDATABASE: 'flotilla',
};
const rows = [];

/** Runs one check. What it throws is what the table says. */
async function check(client, what, work) {
  if (options.only !== undefined && options.only !== client) return;
  try {
    rows.push([client, what, (await work()) ?? 'ok']);
  } catch (error) {
    const text = `${error.code ?? ''} ${error.message ?? error}`.trim();
    rows.push([client, what, `FAILED: ${text.split('\n')[0].slice(0, 160)}`]);
  }
}

function installed(program) {
  return spawnSync('which', [program]).status === 0;
}

function run(program, args, input) {
  const result = spawnSync(program, args, { env, input, encoding: 'utf8', timeout: 120_000 });
  const said = `${result.stderr}\n${result.stdout}`;
  const error = said.split('\n').find((line) => /\b(ERROR|FATAL|error):/.test(line));
  if (result.status !== 0 || error !== undefined)
    throw new Error(
      error ??
        `${program} ended with ${result.status ?? result.signal}: ${result.stderr.slice(0, 120)}`,
    );
  return result.stdout;
}

function expectEqual(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, not ${b}`);
}

async function programs() {
  const psql = (...commands) => run('psql', ['-XAt', ...commands.flatMap((one) => ['-c', one])]);
  if (installed('psql')) {
    psql(
      'drop table if exists m_items',
      'create table m_items (id serial primary key, name text unique, at timestamptz default now())',
    );
    const lists = [
      '\\d',
      '\\d+',
      '\\d m_items',
      '\\d+ m_items',
      '\\dt+',
      '\\di+',
      '\\l',
      '\\l+',
      '\\du',
      '\\dn+',
      '\\dp',
      '\\df',
      '\\dT+',
      '\\dx',
      '\\dconfig',
    ];
    for (const list of lists) await check('psql', list, () => void psql(list));
    await check('psql', '\\copy in and out', () => {
      run('psql', ['-XAt', '-c', '\\copy m_items (name) from stdin'], 'a\nb\n\\.\n');
      expectEqual(
        run('psql', [
          '-XAt',
          '-c',
          '\\copy (select name from m_items order by 1) to stdout (format csv)',
        ]),
        'a\nb\n',
      );
    });
    await check('psql', 'FETCH_COUNT', () => {
      const found = run('psql', [
        '-XAt',
        '-v',
        'FETCH_COUNT=7',
        '-c',
        'select g from generate_series(1, 50) g',
      ]);
      expectEqual(found.trim().split('\n').length, 50);
    });
    await check('psql', 'SHOW ALL', () => void psql('show all'));
  } else rows.push(['psql', '', 'not installed']);
  if (installed('pgbench')) {
    await check('pgbench', '-i', () => void run('pgbench', ['-i', '-q', '-s', '1']));
    for (const mode of ['simple', 'extended', 'prepared'])
      for (const script of ['select-only', 'tpcb-like'])
        await check('pgbench', `${script}, ${mode}`, () => {
          run('pgbench', ['-n', '-M', mode, '-b', script, '-c', '2', '-t', '10', '--max-tries=20']);
        });
  } else rows.push(['pgbench', '', 'not installed']);
  if (installed('sysbench')) {
    const sysbench = (script, ...rest) =>
      void run('sysbench', [
        ...[
          script,
          '--db-driver=pgsql',
          `--pgsql-host=${where.host}`,
          `--pgsql-port=${where.port}`,
        ],
        ...[
          '--pgsql-user=postgres',
          '--pgsql-db=flotilla',
          '--tables=1',
          '--table-size=200',
          '--events=20',
          '--time=60',
        ],
        ...rest,
      ]);
    await check('sysbench', 'prepare', () => sysbench('oltp_read_write', 'prepare'));
    for (const script of ['oltp_point_select', 'oltp_read_write'])
      await check('sysbench', script, () => sysbench(script, 'run'));
    await check('sysbench', 'cleanup', () => sysbench('oltp_read_write', 'cleanup'));
  } else rows.push(['sysbench', '', 'not installed']);
}

async function packages() {
  const wanted = [
    'pg',
    'pg-cursor',
    'postgres',
    'kysely',
    'knex',
    'drizzle-orm',
    'typeorm',
    'reflect-metadata',
  ];
  execFileSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', scratch, ...wanted],
    {
      stdio: 'ignore',
      timeout: 300_000,
    },
  );
  const load = createRequire(join(scratch, 'index.js'));
  const pg = load('pg');
  const pool = new pg.Pool({ ...where, max: 3 });

  await check('node-postgres', 'parameters, types, errors', async () => {
    await pool.query(
      'drop table if exists m_pg; create table m_pg (id int primary key, j jsonb, t timestamptz, tags text[])',
    );
    await pool.query('insert into m_pg values ($1, $2, now(), $3)', [1, { a: [1] }, ['x', 'y']]);
    const found = await pool.query({
      name: 'one',
      text: 'select j, tags from m_pg where id = $1',
      values: [1],
    });
    expectEqual(found.rows, [{ j: { a: [1] }, tags: ['x', 'y'] }]);
    const error = await pool.query('insert into m_pg values (1)').catch((thrown) => thrown);
    expectEqual([error.code, error.constraint], ['23505', 'm_pg_pkey']);
  });
  await check('node-postgres', 'cursor', async () => {
    const Cursor = load('pg-cursor');
    const client = await pool.connect();
    const cursor = client.query(new Cursor('select * from generate_series(1, 10) g'));
    expectEqual([(await cursor.read(4)).length, (await cursor.read(100)).length], [4, 6]);
    await cursor.close();
    client.release();
  });
  await check('node-postgres', 'LISTEN, NOTIFY', async () => {
    const client = await pool.connect();
    const heard = new Promise((resolve) => client.once('notification', resolve));
    await client.query('listen jobs');
    await pool.query("select pg_notify('jobs', 'hello')");
    expectEqual((await heard).payload, 'hello');
    client.release(true);
  });

  const sql = load('postgres')({ ...where, max: 2, onnotice: () => {} });
  await check('postgres.js', 'transactions, arrays, cursors', async () => {
    await sql`drop table if exists m_js`;
    await sql`create table m_js (id serial primary key, n int, tags text[])`;
    await sql.begin(async (tx) => {
      await tx`insert into m_js ${tx([
        { n: 1, tags: ['a'] },
        { n: 2, tags: [] },
      ])}`;
    });
    const seen = [];
    await sql`select n from m_js order by n`.cursor(1, ([row]) => void seen.push(row.n));
    expectEqual(seen, [1, 2]);
  });
  await sql.end();

  const { Kysely, PostgresDialect, sql: raw } = load('kysely');
  const kysely = new Kysely({
    dialect: new PostgresDialect({ pool: new pg.Pool({ ...where, max: 2 }) }),
  });
  await check('Kysely', 'schema, CRUD, transaction, introspection', async () => {
    await kysely.schema.dropTable('m_ky').ifExists().execute();
    await kysely.schema
      .createTable('m_ky')
      .addColumn('id', 'serial', (column) => column.primaryKey())
      .addColumn('name', 'varchar(20)', (column) => column.notNull().unique())
      .execute();
    await kysely
      .transaction()
      .setIsolationLevel('serializable')
      .execute(async (tx) => {
        await tx.insertInto('m_ky').values({ name: 'a' }).execute();
        await tx
          .insertInto('m_ky')
          .values({ name: 'a' })
          .onConflict((conflict) => conflict.column('name').doUpdateSet({ name: 'b' }))
          .execute();
      });
    expectEqual(await kysely.selectFrom('m_ky').select('name').execute(), [{ name: 'b' }]);
    const tables = await kysely.introspection.getTables();
    if (!tables.some((table) => table.name === 'm_ky'))
      throw new Error('the table is not introspected');
    await raw`select pg_advisory_lock(3853314791062309107)`.execute(kysely);
  });
  await kysely.destroy();

  const knex = load('knex')({ client: 'pg', connection: where, pool: { min: 0, max: 2 } });
  await check('Knex', 'schema, CRUD, transaction', async () => {
    await knex.schema.dropTableIfExists('m_knex');
    await knex.schema.createTable('m_knex', (table) => {
      table.increments('id');
      table.string('name').notNullable().unique();
      table.timestamps(true, true);
    });
    await knex.transaction(async (tx) => {
      await tx('m_knex')
        .insert([{ name: 'a' }, { name: 'b' }])
        .returning('*');
      await tx('m_knex').where({ name: 'a' }).forUpdate().first();
      await tx('m_knex').where({ name: 'a' }).update({ name: 'c' });
    });
    expectEqual(await knex('m_knex').orderBy('name').pluck('name'), ['b', 'c']);
    expectEqual(await knex.schema.hasColumn('m_knex', 'name'), true);
  });
  await knex.destroy();

  await check('Drizzle', 'relations, upsert, transaction', async () => {
    const { drizzle } = load('drizzle-orm/node-postgres');
    const { pgTable, serial, text, integer } = load('drizzle-orm/pg-core');
    const { relations, eq } = load('drizzle-orm');
    const users = pgTable('m_users', {
      id: serial('id').primaryKey(),
      name: text('name').notNull(),
    });
    const posts = pgTable('m_posts', {
      id: serial('id').primaryKey(),
      userId: integer('user_id').references(() => users.id),
      title: text('title'),
    });
    const schema = {
      users,
      posts,
      userRelations: relations(users, ({ many }) => ({ posts: many(posts) })),
      postRelations: relations(posts, ({ one }) => ({
        user: one(users, { fields: [posts.userId], references: [users.id] }),
      })),
    };
    await pool.query(`drop table if exists m_posts, m_users; create table m_users (id serial primary key, name text not null);
      create table m_posts (id serial primary key, user_id int references m_users (id), title text)`);
    const db = drizzle(pool, { schema });
    await db.transaction(async (tx) => {
      const [user] = await tx.insert(users).values({ name: 'ann' }).returning();
      await tx.insert(posts).values([
        { userId: user.id, title: 'x' },
        { userId: user.id, title: 'y' },
      ]);
      await tx.update(users).set({ name: 'bob' }).where(eq(users.id, user.id));
    });
    const found = await db.query.users.findMany({ with: { posts: { columns: { title: true } } } });
    expectEqual(found[0].posts.map(({ title }) => title).sort(), ['x', 'y']);
  });

  await check('TypeORM', 'synchronize, CRUD, transaction', async () => {
    load('reflect-metadata');
    const { DataSource, EntitySchema } = load('typeorm');
    const thing = new EntitySchema({
      name: 'm_thing',
      columns: {
        id: { type: Number, primary: true, generated: 'increment' },
        name: { type: String, unique: true },
        at: { type: 'timestamptz', createDate: true },
      },
    });
    const { host, port, database } = where;
    const source = new DataSource({
      ...{ type: 'postgres', host, port, database, username: where.user },
      ...{ entities: [thing], synchronize: true, dropSchema: false },
    });
    await source.initialize();
    try {
      await source.synchronize(); // once more: nothing is left to change
      const name = `n${Date.now()}`;
      await source.transaction('SERIALIZABLE', (manager) => manager.save('m_thing', { name }));
      const found = await source.getRepository('m_thing').findOneBy({ name });
      expectEqual(found.name, name);
    } finally {
      await source.destroy();
    }
  });
  await pool.end();
}

try {
  await programs();
  await packages();
} finally {
  if (options.url === undefined)
    spawnSync(join(root, 'bin/demo'), ['--stop', '--data', demoData], { stdio: 'ignore' });
  if (!options.keep) rmSync(scratch, { recursive: true, force: true });
}
const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column].length)));
for (const [client, what, result] of rows)
  process.stdout.write(`${client.padEnd(widths[0])}  ${what.padEnd(widths[1])}  ${result}\n`);
process.exitCode = rows.some(([, , result]) => result.startsWith('FAILED')) ? 1 : 0;
