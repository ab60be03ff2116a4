/** Roles at the door: passwords, what may keep a role out, and that nobody learns which names there are. */
import { DbError } from '@flotilla/base';
import { createSqlEngine } from '@flotilla/sql';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseAccessRules } from './access-rules.ts';
import { decideAccess } from './session-access.ts';
import { fields, RawClient } from './testing/raw-client.ts';
import { beginScram, guessScram } from './testing/scram.ts';
import {
  asOperator,
  eventually,
  SocketTestClock,
  type SqlGateway,
  startGuardedGateway,
  startTestGateway,
  stopTestGateway,
} from './testing/test-gateway.ts';

let world: SqlGateway;
beforeEach(async () => {
  world = await startGuardedGateway(
    `create role ann login password 'correct horse' connection limit 1`,
    `create role staff`,
    `create role late login password 'correct horse' valid until '1990-01-01'`,
    `alter role ann set timezone to 'Asia/Tokyo'`,
  );
});
afterEach(async () => {
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

async function connect(user: string, password?: string, database = 'flotilla'): Promise<pg.Client> {
  const { port } = world.gateway;
  const secret = password === undefined ? {} : { password };
  const client = new pg.Client({ host: '127.0.0.1', port, user, database, ...secret });
  await client.connect();
  return client;
}

describe('a role with a password', () => {
  test('comes in with it, as an ordinary user with its own settings', async () => {
    const client = await connect('ann', 'correct horse');
    const { rows } = await client.query(
      `select current_user, current_setting('is_superuser') as super, current_setting('timezone') as zone`,
    );
    expect(rows).toEqual([{ current_user: 'ann', super: 'off', zone: 'Asia/Tokyo' }]);
    await expect(client.query('create role more')).rejects.toMatchObject({ code: '42501' });
    await client.end();
  });

  test('changes it, and the old one is good no more', async () => {
    const client = await connect('ann', 'correct horse');
    await client.query(`alter role ann password 'battery staple'`);
    await client.end();
    await expect(connect('ann', 'correct horse')).rejects.toMatchObject({ code: '28P01' });
    await (await connect('ann', 'battery staple')).end();
  });

  test('has as many sessions as it may have', async () => {
    const client = await connect('ann', 'correct horse');
    await expect(connect('ann', 'correct horse')).rejects.toMatchObject({
      code: '53300',
      message: 'too many connections for role "ann"',
    });
    await client.end();
    await eventually(() => world.gateway.connectionCount === 0);
    await (await connect('ann', 'correct horse')).end();
  });

  test('is kept out when its time is over, or where it may not log in', async () => {
    await expect(connect('late', 'correct horse')).rejects.toMatchObject({ code: '28P01' });
    await asOperator(world.engine, `alter role staff password 'correct horse'`);
    await expect(connect('staff', 'correct horse')).rejects.toMatchObject({
      code: '28000',
      message: 'role "staff" is not permitted to log in',
    });
  });

  test('is told where there is no such database, once it has shown who it is', async () => {
    await asOperator(world.engine, 'create database shop');
    await (await connect('ann', 'correct horse', 'shop')).end();
    await asOperator(world.engine, 'drop database shop');
    await expect(connect('ann', 'correct horse', 'shop')).rejects.toMatchObject({
      severity: 'FATAL',
      code: '3D000',
      message: 'database "shop" does not exist',
    });
    await expect(connect('ann', 'wrong', 'shop')).rejects.toMatchObject({ code: '28P01' });
  });

  test('is kept out of a database that it may not connect to', async () => {
    await asOperator(world.engine, 'revoke connect on database flotilla from public');
    await expect(connect('ann', 'correct horse')).rejects.toMatchObject({
      code: '42501',
      message: 'permission denied for database "flotilla"',
      detail: 'User does not have CONNECT privilege.',
    });
    // Who does not know the password does not learn that it would not have helped.
    await expect(connect('ann', 'x')).rejects.toMatchObject({ code: '28P01' });
    await asOperator(world.engine, 'grant connect on database flotilla to ann');
    await (await connect('ann', 'correct horse')).end();
  });

  test('is not kept in clear text', async () => {
    const client = await connect('ann', 'correct horse');
    await client.query(`alter role ann password 'battery staple'`).catch(() => undefined);
    await client.end();
    const pairs: string[] = [];
    const everything = { startKey: Uint8Array.of(0), endKey: Uint8Array.of(255) };
    for await (const batch of world.database.begin().scan(everything))
      for (const { value } of batch) pairs.push(Buffer.from(value).toString('latin1'));
    const kept = pairs.join('\n');
    expect(kept).toContain('SCRAM-SHA-256$4096:');
    for (const secret of ['correct horse', 'battery staple']) expect(kept).not.toContain(secret);
  });
});

describe('a name that no role has', () => {
  /** What the server says, up to the challenge: salt and rounds. */
  async function challenge(user: string): Promise<string> {
    const client = await RawClient.connect(world.gateway.port);
    const { serverFirst } = await beginScram(client, { user });
    client.destroy();
    return serverFirst.replace(/^r=[^,]*,/, '');
  }

  test('is answered like any other', async () => {
    await expect(connect('nobody', 'x')).rejects.toMatchObject({
      code: '28P01',
      message: 'password authentication failed for user "nobody"',
    });
    const [ann, nobody, other] = [
      await challenge('ann'),
      await challenge('nobody'),
      await challenge('nobody else'),
    ];
    const form = /^s=[A-Za-z0-9+/=]{24},i=4096$/;
    for (const one of [ann, nobody, other]) expect(one).toMatch(form);
    expect(nobody).not.toBe(other);
    expect(await challenge('nobody')).toBe(nobody);
    // Another gateway, with nothing remembered, says the same.
    const { database, engine } = world;
    const second = await createSqlEngine({ database, clock: new SocketTestClock() });
    expect(await second.logins.verifier('nobody')).toEqual(await engine.logins.verifier('nobody'));
  });
});

describe('time says nothing: the same work is done', () => {
  /** What the store is asked, and how often the client is answered, on the way to a refusal. */
  async function workOf(user: string): Promise<{ reads: number; answers: number }> {
    const begin = vi.spyOn(world.database, 'begin');
    const client = await RawClient.connect(world.gateway.port);
    const answers = await guessScram(client, { user, database: 'flotilla' });
    expect(fields(answers.at(-1)?.body ?? Buffer.alloc(0)).C).toBe('28P01');
    client.destroy();
    const reads = begin.mock.calls.length;
    begin.mockRestore();
    return { reads, answers: answers.length };
  }

  test.each([
    ['a name that no role has', 'nobody'],
    ['a role without a password', 'staff'],
    ['a password whose time is over', 'late'],
  ])('for %s and for a wrong password', async (_what, user) => {
    await world.engine.logins.verifier('anybody'); // the secret of made-up verifiers is read once
    expect(await workOf(user)).toEqual(await workOf('ann'));
  });
});

describe('rules', () => {
  test('trust lets a role in, and nobody else', async () => {
    await (await connect('operator')).end();
    await asOperator(world.engine, 'alter role operator nologin');
    await expect(connect('operator')).rejects.toMatchObject({ code: '28000' });
    await asOperator(world.engine, 'drop role operator');
    await expect(connect('operator')).rejects.toMatchObject({
      code: '28000',
      message: 'role "operator" does not exist',
    });
  });

  test('a password is asked for under TLS, or on loopback alone', () => {
    const rules = parseAccessRules('host all all all scram-sha-256');
    const context = {
      accessRules: rules.ok ? rules.rules : [],
      authentication: { method: 'trust' },
      logins: world.engine.logins,
    } as const;
    const from = (address: string) =>
      decideAccess({ context, user: 'ann', database: 'flotilla', address, secure: undefined });
    expect(from('::ffff:127.0.0.1').method.method).toBe('scram-sha-256');
    expect(() => from('10.1.2.3')).toThrow(/needs an encrypted connection/);
  });

  test('a store that does not answer is no wrong password', async () => {
    const failing = await startTestGateway({
      authentication: {
        method: 'scram-sha-256',
        lookup: () => Promise.reject(new DbError('UNAVAILABLE', 'gone')),
      },
    });
    const { port } = failing.gateway;
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'ann', password: 'x' });
    await expect(client.connect()).rejects.toMatchObject({ code: '57P03' });
    await stopTestGateway(failing);
  });
});
