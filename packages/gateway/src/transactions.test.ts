/** Conversations that were held with PostgreSQL 15 (testdata/record.mjs) go the same way here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSqlEngine } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawClient } from './testing/raw-client.ts';
import { SocketTestClock, startTestGateway, type TestGateway } from './testing/test-gateway.ts';
import { encodeLine, readWireCases, readyCount, showMessage } from './testing/wire-script.ts';

describe('transactions.txt', () => {
  let world: TestGateway;
  let client: RawClient;

  beforeAll(async () => {
    const engine = await createSqlEngine({
      database: new MemoryKvDatabase({ batchPairs: 2 }),
      clock: new SocketTestClock(),
    });
    world = await startTestGateway({ createSession: (options) => engine.createSession(options) });
    ({ client } = await RawClient.ready(world.gateway.port));
  });

  afterAll(async () => {
    client.destroy();
    const stopped = world.gateway.stop({ graceMs: 0 });
    world.clock.advance(10_000);
    await stopped;
    expect(world.fatals).toEqual([]);
  });

  const text = readFileSync(join(import.meta.dirname, '../testdata/transactions.txt'), 'utf8');
  for (const { said, heard } of readWireCases(text))
    test(said.join('; '), async () => {
      client.send(...said.map(encodeLine));
      const messages = [];
      for (let left = readyCount(said); left > 0; left--)
        messages.push(...(await client.untilReady()));
      expect(messages.map(showMessage).join('\n')).toBe(heard);
    });
});
