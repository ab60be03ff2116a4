import pg from 'pg';
import { createScramSha256Data } from 'pg-gateway';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fields, message, query, RawClient, startup, sync } from './testing/raw-client.ts';
import { startTestGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

let world: TestGateway;
let lookups: string[];
beforeEach(async () => {
  const alice = await createScramSha256Data('correct horse');
  lookups = [];
  world = await startTestGateway({
    authentication: {
      method: 'scram-sha-256',
      lookup: async (user) => {
        lookups.push(user);
        return alice;
      },
    },
  });
});
afterEach(async () => {
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

function clientWith(password: string): pg.Client {
  const { port } = world.gateway;
  return new pg.Client({ host: '127.0.0.1', port, user: 'älice', password });
}

describe('SCRAM-SHA-256', () => {
  test('lets the right password in', async () => {
    const client = clientWith('correct horse');
    await client.connect();
    expect((await client.query('select 1')).rows).toEqual([{ '?column?': 1 }]);
    expect(lookups).toEqual(['älice']);
    await client.end();
  });

  test('keeps a wrong one out with 28P01, and logs no secret', async () => {
    await expect(clientWith('hunter2hunter2').connect()).rejects.toMatchObject({ code: '28P01' });
    expect(JSON.stringify(world.logs)).not.toContain('hunter2');
  });
});

describe('authentication can not be skipped', () => {
  test.each([
    ['a query', '08P01', query('select 1')],
    ['a Sync', '08P01', sync],
    ['a second start-up packet', '08P01', startup()],
    ['a password of a wrong length', '08P01', message('p', Buffer.alloc(0), 20_000)],
    ['a password of length 0', '08P01', message('p', Buffer.alloc(0), 0)],
    ['an empty password', '28P01', message('p')],
    ['a mechanism that we do not have', '28P01', message('p', Buffer.from('PLAIN\0\0\0\0\x01x'))],
    [
      'a query behind a password that is none',
      '28P01',
      Buffer.concat([message('p', Buffer.from('x\0')), query('select 1')]),
    ],
    [
      'a SASL response with a wild length',
      '28P01',
      message('p', Buffer.from('SCRAM-SHA-256\0\x7f\xff\xff\xffn,,n=,r=x', 'latin1')),
    ],
  ])('by %s', async (_name, code, bytes) => {
    const client = await RawClient.connect(world.gateway.port);
    client.send(startup(), bytes);
    const messages = await client.untilEnd();
    expect(messages.map(({ type }) => type).join('')).toBe('RE');
    expect(fields(messages.at(-1)?.body ?? Buffer.alloc(0)).C).toBe(code);
    expect(messages.filter(({ type, body }) => type === 'R' && body.readInt32BE(0) === 0)).toEqual(
      [],
    );
    expect(world.stage.begun).toEqual([]);
  });

  test('by Terminate', async () => {
    const client = await RawClient.connect(world.gateway.port);
    client.send(startup(), message('X'), query('select 1'));
    await client.untilEnd();
    expect(world.stage.begun).toEqual([]);
  });
});
