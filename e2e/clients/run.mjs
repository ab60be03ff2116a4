/**
 * The client matrix: real clients, unmodified, against a running cluster of three stores. Starts a demo of its own unless it is
 * given an address; packages from npm go into a temporary directory, programs come from Debian. Prints a table; exit code 1 if a
 * check fails. `--url` may also lead to a PostgreSQL 15: what fails there is the check's fault.
 *
 * Usage: pnpm e2e:clients [--url postgres://…] [--only NAME]… [--packages DIR] [--record]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { World } from './frame.mjs';
import { jdbc } from './java/jdbc.mjs';
import { drizzle } from './node/drizzle.mjs';
import { knex } from './node/knex.mjs';
import { kysely } from './node/kysely.mjs';
import { nodePostgres } from './node/node-postgres.mjs';
import { postgresJs } from './node/postgres-js.mjs';
import { prisma } from './node/prisma.mjs';
import { typeorm } from './node/typeorm.mjs';
import { installNpm, needDebian } from './packages.mjs';
import { pgbench } from './programs/pgbench.mjs';
import { pgbouncer } from './programs/pgbouncer.mjs';
import { psql } from './programs/psql.mjs';
import { sysbench } from './programs/sysbench.mjs';
import { asyncpg, psycopg2, psycopg3 } from './python/python.mjs';

/** Each client: what shows that it is there and the package of Debian that has it, or its packages of npm; and its checks. */
const clients = {
  psql: { debian: [['/usr/bin/psql', 'postgresql-client-15']], checks: psql },
  pgbench: { debian: [['/usr/bin/pgbench', 'postgresql-contrib']], checks: pgbench },
  sysbench: { debian: [['/usr/bin/sysbench', 'sysbench']], checks: sysbench },
  pgbouncer: { debian: [['/usr/sbin/pgbouncer', 'pgbouncer']], npm: ['pg'], checks: pgbouncer },
  psycopg2: {
    debian: [['/usr/lib/python3/dist-packages/psycopg2', 'python3-psycopg2']],
    checks: psycopg2,
  },
  psycopg3: {
    debian: [['/usr/lib/python3/dist-packages/psycopg', 'python3-psycopg']],
    checks: psycopg3,
  },
  asyncpg: {
    debian: [['/usr/lib/python3/dist-packages/asyncpg', 'python3-asyncpg']],
    checks: asyncpg,
  },
  jdbc: {
    debian: [
      ['/usr/share/java/postgresql.jar', 'libpostgresql-jdbc-java'],
      ['/usr/bin/javac', 'openjdk-17-jdk-headless'],
    ],
    checks: jdbc,
  },
  'node-postgres': {
    npm: ['pg', 'pg-cursor', 'pg-query-stream', 'pg-copy-streams'],
    checks: nodePostgres,
  },
  'postgres.js': { npm: ['postgres'], checks: postgresJs },
  kysely: { npm: ['pg', 'kysely'], checks: kysely },
  knex: { npm: ['pg', 'pg-query-stream', 'knex'], checks: knex },
  drizzle: { npm: ['pg', 'drizzle-orm', 'drizzle-kit'], checks: drizzle },
  typeorm: { npm: ['pg', 'typeorm', 'reflect-metadata'], checks: typeorm },
  prisma: { npm: ['pg', 'prisma@7', '@prisma/client@7', '@prisma/adapter-pg@7'], checks: prisma },
};

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    only: { type: 'string', multiple: true, default: Object.keys(clients) },
    packages: { type: 'string' },
    record: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (options.help) {
  process.stdout.write(`Usage: pnpm e2e:clients [--url URL] [--only NAME]… [--packages DIR]

Runs clients against a cluster, three stores on this machine if no --url is given: ${Object.keys(clients).join(', ')}.
What is missing is installed from Debian (as root) and from npm; what cannot be installed is said and left out.
--only: this client, may be said several times; --packages: keeps the packages from npm there for the next time; --record: writes
down what psql prints as what is expected, with a --url of a PostgreSQL 15.
`);
  process.exit(0);
}
for (const name of options.only)
  if (!(name in clients))
    throw new Error(`no client "${name}": ${Object.keys(clients).join(', ')}`);

const root = join(import.meta.dirname, '../..');
const temporary = mkdtempSync(join(tmpdir(), 'flotilla-clients-'));
const scratch = options.packages ?? temporary;
mkdirSync(scratch, { recursive: true });
const demoData = join(temporary, 'demo');

function startDemo() {
  const output = execFileSync(
    join(root, 'bin/demo'),
    ['--background', '--json', '--data', demoData],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return JSON.parse(output.trim().split('\n').at(-1)).gateways[0];
}

function missing(name) {
  for (const [file, debian] of clients[name].debian ?? []) {
    const reason = needDebian(file, debian);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

const wanted = new Set(options.only.flatMap((name) => clients[name].npm ?? []));
const absent = [...wanted].filter(
  (name) => !existsSync(join(scratch, 'node_modules', name.replace(/(?<=.)@.*/, ''))),
);
if (absent.length > 0) installNpm(scratch, absent);

const world = new World(new URL(options.url ?? startDemo()), scratch);
try {
  for (const name of options.only) {
    const reason = missing(name);
    if (reason !== undefined) world.note(name, '', reason);
    else
      await clients[name].checks(world, { record: options.record }).catch((error) => {
        world.note(name, 'to its end', `FAILED: ${error.stack ?? error}`);
      });
  }
} finally {
  if (options.url === undefined)
    spawnSync(join(root, 'bin/demo'), ['--stop', '--data', demoData], { stdio: 'ignore' });
  rmSync(temporary, { recursive: true, force: true });
}
const widths = [0, 1].map((column) => Math.max(...world.rows.map((row) => row[column].length)));
for (const [client, what, result] of world.rows)
  process.stdout.write(`${client.padEnd(widths[0])}  ${what.padEnd(widths[1])}  ${result}\n`);
process.exitCode = world.rows.some(([, , result]) => result.startsWith('FAILED')) ? 1 : 0;
