/** LISTEN and NOTIFY, cancelling and ending sessions by SQL, and BINARY cursors, as clients of two gateways see them. */
import { MemoryKvDatabase, MemoryPeers } from '@flotilla/sql/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cancelRequest, fields, query, RawClient } from './testing/raw-client.ts';
import { startSqlGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

let worlds: TestGateway[];
let clients: RawClient[];

async function connect(world: number): Promise<{ client: RawClient; key: Buffer }> {
  const { client, greeting } = await RawClient.ready(worlds[world]?.gateway.port ?? 0);
  clients.push(client);
  const key = greeting.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8);
  return { client, key };
}

beforeEach(async () => {
  const database = new MemoryKvDatabase();
  const peers = new MemoryPeers();
  [worlds, clients] = [[], []];
  for (const id of ['a', 'b'])
    worlds.push(
      await startSqlGateway({
        database,
        peers: peers.of(id),
        gateway: async ({ cancels }) => ({
          gatewayId: await cancels.join(),
          remoteCancels: cancels,
        }),
      }),
    );
});

afterEach(async () => {
  for (const client of clients) client.destroy();
  for (const world of worlds) {
    await stopTestGateway(world);
    expect(world.fatals).toEqual([]);
  }
});

describe('a client that listens', () => {
  it('is told at once when it is idle, and otherwise before the ReadyForQuery that ends its transaction', async () => {
    const [{ client: ear }, { client: mouth, key }] = [await connect(0), await connect(1)];
    expect(await ear.types(query('listen jobs'))).toBe('CZ');
    expect(await mouth.types(query("notify jobs, 'one'"))).toBe('CZ');
    const heard = await ear.next();
    expect(heard?.type).toBe('A');
    expect(heard?.body.readInt32BE(0)).toBe(key.readInt32BE(0));
    expect(heard?.body.toString('utf8', 4)).toBe('jobs\0one\0');
    expect(await ear.types(query('begin'))).toBe('CZ');
    await mouth.types(query("notify jobs, 'two'"));
    expect(await ear.types(query('select 1'))).toBe('TDCZ');
    expect(await ear.types(query('commit'))).toBe('CAZ');
    expect(await ear.types(query("notify jobs, 'own'"))).toBe('CAZ');
  });
});

describe('a session of another gateway', () => {
  it('is cancelled by a request that came to this one', async () => {
    const { client, key } = await connect(1);
    client.send(query('select pg_sleep(60)'));
    const stranger = await RawClient.connect(worlds[0]?.gateway.port ?? 0);
    clients.push(stranger);
    stranger.send(cancelRequest(key.readInt32BE(0), key.subarray(4)));
    const messages = await client.untilReady();
    const error = messages.find(({ type }) => type === 'E');
    expect(fields(error?.body ?? Buffer.of(0)).C).toBe('57014');
  });

  it('is cancelled and ended by SQL', async () => {
    const [{ client: killer }, { client: victim, key }] = [await connect(0), await connect(1)];
    const pid = key.readInt32BE(0);
    victim.send(query('select pg_sleep(60)'));
    await killer.types(query(`select pg_cancel_backend(${pid})`));
    const codes = (await victim.untilReady()).flatMap(({ type, body }) =>
      type === 'E' ? [fields(body).C] : [],
    );
    expect(codes).toEqual(['57014']);
    expect(await killer.types(query(`select pg_terminate_backend(${pid})`))).toBe('TDCZ');
    const last = await victim.next();
    expect(fields(last?.body ?? Buffer.of(0))).toMatchObject({ S: 'FATAL', C: '57P01' });
  });
});

describe('a BINARY cursor', () => {
  it('sends binary rows in the simple query protocol', async () => {
    const { client } = await connect(0);
    await client.types(query('begin; declare c binary cursor for select 258'));
    client.send(query('fetch c'));
    const [description, row] = await client.untilReady();
    expect(description?.body.readInt16BE(description.body.length - 2)).toBe(1);
    expect(row?.body.toString('hex')).toBe('00010000000400000102');
  });
});
