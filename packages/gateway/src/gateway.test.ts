import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { startTestGateway, type TestGateway } from './testing/test-gateway.ts';

const run = promisify(execFile);
let world: TestGateway | undefined;
afterEach(async () => {
  await world?.gateway.stop({ graceMs: 0 });
});

describe('real clients', () => {
  test('psql', async () => {
    world = await startTestGateway();
    const { stdout } = await run('psql', [
      '-X',
      '-h',
      '127.0.0.1',
      '-p',
      String(world.gateway.port),
      '-U',
      'alice',
      '-c',
      'select 42',
    ]);
    expect(stdout).toContain('42');
  });
  test('pg', async () => {
    world = await startTestGateway();
    const client = new pg.Client({ host: '127.0.0.1', port: world.gateway.port, user: 'alice' });
    await client.connect();
    expect((await client.query('select $1', ['x'])).rows).toEqual([{ c1: 'x' }]);
    await client.end();
  });
});
