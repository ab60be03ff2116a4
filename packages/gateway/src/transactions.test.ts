/** Conversations that were held with PostgreSQL 15 (testdata/record.mjs) go the same way here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fields, query, RawClient } from './testing/raw-client.ts';
import { startSqlGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';
import { encodeLine, readWireCases, readyCount, showMessage } from './testing/wire-script.ts';

describe.each(['transactions.txt', 'prepared.txt'])('%s', (file) => {
  let world: TestGateway;
  let client: RawClient;

  beforeAll(async () => {
    world = await startSqlGateway({ database: new MemoryKvDatabase({ batchPairs: 2 }) });
    ({ client } = await RawClient.ready(world.gateway.port));
  });

  afterAll(async () => {
    client.destroy();
    await stopTestGateway(world);
    expect(world.fatals).toEqual([]);
  });

  const text = readFileSync(join(import.meta.dirname, '../testdata', file), 'utf8');
  for (const { said, heard } of readWireCases(text))
    test(said.join('; '), async () => {
      client.send(...said.map(encodeLine));
      const messages = [];
      for (let left = readyCount(said); left > 0; left--)
        messages.push(...(await client.untilReady()));
      expect(messages.map(showMessage).join('\n')).toBe(heard);
    });
});

describe('clients that fall silent', () => {
  let world: TestGateway;

  beforeAll(async () => {
    world = await startSqlGateway();
  });

  afterAll(async () => {
    await stopTestGateway(world);
    expect(world.fatals).toEqual([]);
  });

  test.each([
    ['idle_in_transaction_session_timeout', 'begin', '25P03'],
    ['idle_in_transaction_session_timeout', 'begin; select * from nowhere', '25P03'],
    ['idle_session_timeout', 'select 1', '57P05'],
  ])('%s after %s', async (setting, text, code) => {
    const { client } = await RawClient.ready(world.gateway.port);
    await client.types(query(`set ${setting} = '30s'`));
    await client.types(query(text));
    world.clock.advance(29_000);
    await client.types(query('')); // any message counts as a sign of life
    world.clock.advance(29_000);
    expect(client.ended).toBe(false);
    world.clock.advance(1_000);
    const [last] = await client.untilEnd();
    expect(fields(last?.body ?? Buffer.alloc(0))).toMatchObject({ S: 'FATAL', C: code });
    client.destroy();
  });

  test('are left alone in the other state', async () => {
    const { client } = await RawClient.ready(world.gateway.port);
    await client.types(query("set idle_in_transaction_session_timeout = '30s'"));
    world.clock.advance(60_000);
    expect(await client.types(query('select 1'))).toBe('TDCZ');
    client.destroy();
  });

  test('and vanish let go of their locks', async () => {
    const { client } = await RawClient.ready(world.gateway.port);
    const other = (await RawClient.ready(world.gateway.port)).client;
    await client.types(query('create table silent (id int primary key)'));
    await client.types(query('insert into silent values (1)'));
    await client.types(query('begin'));
    await client.types(query('delete from silent'));
    other.send(query('select * from silent for update'));
    client.socket.resetAndDestroy();
    expect((await other.untilReady()).map(({ type }) => type).join('')).toBe('TDCZ');
    other.destroy();
  });
});
