/** The clients that people use: psql, pgbench and node-postgres against scripted sessions. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  eventually,
  startTestGateway,
  stopTestGateway,
  type TestGateway,
} from './testing/test-gateway.ts';

const run = promisify(execFile);
const environment = { ...process.env, PGCONNECT_TIMEOUT: '5', PGSSLMODE: 'prefer' };

let world: TestGateway;
let address: string[];
beforeEach(async () => {
  world = await startTestGateway();
  address = ['-h', '127.0.0.1', '-p', String(world.gateway.port), '-U', 'alice'];
});
afterEach(async () => {
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

describe('psql', () => {
  const psql = (...args: string[]) =>
    run('psql', ['-X', '-A', '-t', ...address, ...args], { env: environment });

  test('connects over a declined SSLRequest and prints rows', async () => {
    const { stdout, stderr } = await psql(
      '-c',
      'select 42; select null; insert x',
      '-c',
      'select 7',
    );
    expect(stdout).toBe('42\n\nINSERT 0 1\n7\n');
    expect(stderr).toBe('');
  });

  test('takes us for a PostgreSQL 15 and knows its process id', async () => {
    const { stdout, stderr } = await psql('-c', '\\echo :SERVER_VERSION_NUM :SERVER_VERSION_NAME');
    expect(stdout).toBe('150008 15.8 (Flotilla 0.1.0)\n');
    expect(stderr).toBe('');
  });

  test('shows every part of an error', async () => {
    const failed = await psql('-v', 'VERBOSITY=verbose', '-c', 'fail 23505').catch(
      (error) => error,
    );
    expect(failed.stderr).toContain('ERROR:  23505: told to fail');
    expect(failed.stderr).toContain('DETAIL:  the detail');
    expect(failed.stderr).toContain('HINT:  the hint');
    expect(failed.stderr).toContain('TABLE NAME:  t');
    expect(failed.stderr).toContain('CONSTRAINT NAME:  t_pkey');
  });

  test('describes a query without running it', async () => {
    const child = spawn('psql', ['-X', '-A', '-t', ...address], { env: environment });
    child.stdin.end('select 1 \\gdesc\nselect 2;\n');
    await once(child, 'close');
    // psql then asks for the types' names, which the script answers with whatever it likes.
    expect(world.stage.begun).not.toContain('select 1');
    expect(world.stage.begun.at(-1)).toBe('select 2');
  });

  test('cancels with Ctrl-C', async () => {
    const child = spawn('psql', ['-X', '-A', '-t', ...address, '-c', 'wait 1'], {
      env: environment,
    });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    await world.stage.until(() => world.stage.begun.length === 1);
    child.kill('SIGINT');
    await world.stage.until(() => world.stage.aborted.length === 1);
    await once(child, 'close');
    expect(output).toContain('canceling statement due to user request');
  });

  test('a killed psql takes its statement with it', async () => {
    const child = spawn('psql', ['-X', ...address, '-c', 'wait 1'], { env: environment });
    await world.stage.until(() => world.stage.begun.length === 1);
    child.kill('SIGKILL');
    await world.stage.until(() => world.stage.aborted.length === 1);
  });
});

describe('pgbench', () => {
  test.each(['simple', 'extended', 'prepared'])('-M %s', async (mode) => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-gateway-'));
    try {
      const script = join(directory, 'select.sql');
      await writeFile(script, '\\set x random(1, 1000)\nselect :x;\ninsert :x;\n');
      const args = ['-n', '-M', mode, '-c', '4', '-j', '1', '-t', '100', '-f', script];
      const { stdout } = await run('pgbench', [...address, ...args], { env: environment });
      expect(stdout).toContain('number of transactions actually processed: 400/400');
      expect(world.stage.begun.length).toBe(800);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('pipelines', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-gateway-'));
    try {
      const script = join(directory, 'pipeline.sql');
      await writeFile(script, '\\startpipeline\nselect 1;\nselect 2;\nselect 3;\n\\endpipeline\n');
      const args = ['-n', '-M', 'prepared', '-t', '50', '-f', script];
      const { stdout } = await run('pgbench', [...address, ...args], { env: environment });
      expect(stdout).toContain('number of transactions actually processed: 50/50');
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('node-postgres', () => {
  async function connect(options: pg.ClientConfig = {}): Promise<pg.Client> {
    const { port } = world.gateway;
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'alice', ...options });
    await client.connect();
    return client;
  }

  test('parameters, NULL, buffers, named statements, several statements', async () => {
    const client = await connect();
    const { rows } = await client.query('select $1 $2 $3', ['ünï', null, Buffer.from('abc')]);
    expect(rows).toEqual([{ c1: 'ünï', c2: null, c3: 'abc' }]);
    for (const value of ['a', 'b', 'c']) {
      const prepared = { name: 'by value', text: 'select $1', values: [value] };
      expect((await client.query(prepared)).rows).toEqual([{ c1: value }]);
    }
    const results = (await client.query('select 1; insert x')) as unknown as pg.QueryResult[];
    expect(results.map(({ command, rowCount }) => [command, rowCount])).toEqual([
      ['SELECT', 1],
      ['INSERT', 1],
    ]);
    await client.end();
  });

  test('errors, after which the client goes on', async () => {
    const client = await connect();
    await expect(client.query('fail 23505', [])).rejects.toMatchObject({
      code: '23505',
      severity: 'ERROR',
      constraint: 't_pkey',
      detail: 'the detail',
    });
    await expect(client.query('select $1', [])).rejects.toMatchObject({ code: '42P02' });
    expect((await client.query('select 1')).rows).toEqual([{ '?column?': 1 }]);
    await client.end();
  });

  test('many queries at once, pipelined', async () => {
    const client = await connect({ pipeline: true } as pg.ClientConfig);
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        if (index % 10 === 9) return client.query('fail 40001', []).catch((error) => error.code);
        return (await client.query('select $1', [String(index)])).rows[0]?.c1;
      }),
    );
    expect(answers).toEqual(
      Array.from({ length: 200 }, (_, index) => (index % 10 === 9 ? '40001' : String(index))),
    );
    await client.end();
  });

  test('a pool of clients', async () => {
    const { port } = world.gateway;
    const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'alice', max: 20 });
    const counts = await Promise.all(
      Array.from({ length: 200 }, async () => (await pool.query('values 250 10')).rowCount),
    );
    expect(new Set(counts)).toEqual(new Set([250]));
    await pool.end();
    await eventually(() => world.gateway.connectionCount === 0); // it does not wait for its goodbyes
  });

  test('notices and settings', async () => {
    const client = await connect({ application_name: 'my app' });
    const notices: (string | undefined)[] = [];
    client.on('notice', (notice) => notices.push(notice.message));
    await client.query('notice hello');
    expect(notices).toEqual(['hello']);
    await client.end();
  });
});
