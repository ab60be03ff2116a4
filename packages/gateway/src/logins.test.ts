/** Roles at the door: passwords, what may keep a role out, and that nobody learns which names there are. */
import { DbError } from '@flotilla/base';
import { createSqlEngine, type SqlEngine } from '@flotilla/sql';
import { MemoryKvDatabase } from '@flotilla/sql/testing';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseAccessRules } from './access-rules.ts';
import { decideAccess } from './session-access.ts';
import { fields, message, RawClient, startup } from './testing/raw-client.ts';
import {
  eventually,
  SocketTestClock,
  startTestGateway,
  type TestGateway,
} from './testing/test-gateway.ts';

const rulesText = `
host all operator 127.0.0.1/32 trust
host all all      127.0.0.1/32 scram-sha-256`;

let world: TestGateway;
let engine: SqlEngine;
let database: MemoryKvDatabase;
beforeEach(async () => {
  database = new MemoryKvDatabase();
  const clock = new SocketTestClock();
  engine = await createSqlEngine({ database, clock });
  await asOperator(
    `create role operator superuser login`,
    `create role ann login password 'correct horse' connection limit 1`,
    `create role staff`,
    `create role late login password 'correct horse' valid until '1990-01-01'`,
    `alter role ann set timezone to 'Asia/Tokyo'`,
  );
  const rules = parseAccessRules(rulesText);
  if (!rules.ok) throw new Error(rules.problems.join());
  world = await startTestGateway({
    accessRules: rules.rules,
    logins: engine.logins,
    createSession: (options) => engine.createSession(options),
  });
});
afterEach(async () => {
  const stopped = world.gateway.stop({ graceMs: 0 });
  world.clock.advance(10_000);
  await stopped;
  expect(world.fatals).toEqual([]);
});

async function asOperator(...texts: readonly string[]): Promise<void> {
  const session = engine.createSession({ user: 'postgres', database: 'flotilla' });
  for (const text of texts)
    for (const statement of session.parse(text))
      await session.execute(await session.prepare(statement, []), []);
}

async function connect(user: string, password?: string, database = 'flotilla'): Promise<pg.Client> {
  const { port } = world.gateway;
  const secret = password === undefined ? {} : { password };
  const client = new pg.Client({ host: '127.0.0.1', port, user, database, ...secret });
  await client.connect();
  return client;
}

function saslInitial(first: string): Buffer {
  const body = Buffer.from(first, 'latin1');
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([Buffer.from('SCRAM-SHA-256\0', 'latin1'), length, body]);
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
    await asOperator(`alter role staff password 'correct horse'`);
    await expect(connect('staff', 'correct horse')).rejects.toMatchObject({
      code: '28000',
      message: 'role "staff" is not permitted to log in',
    });
  });

  test('is told where there is no such database, once it has shown who it is', async () => {
    await asOperator('create database shop');
    await (await connect('ann', 'correct horse', 'shop')).end();
    await asOperator('drop database shop');
    await expect(connect('ann', 'correct horse', 'shop')).rejects.toMatchObject({
      severity: 'FATAL',
      code: '3D000',
      message: 'database "shop" does not exist',
    });
    await expect(connect('ann', 'wrong', 'shop')).rejects.toMatchObject({ code: '28P01' });
  });

  test('is kept out of a database that it may not connect to', async () => {
    await asOperator('revoke connect on database flotilla from public');
    await expect(connect('ann', 'correct horse')).rejects.toMatchObject({
      code: '42501',
      message: 'permission denied for database "flotilla"',
      detail: 'User does not have CONNECT privilege.',
    });
    // Who does not know the password does not learn that it would not have helped.
    await expect(connect('ann', 'x')).rejects.toMatchObject({ code: '28P01' });
    await asOperator('grant connect on database flotilla to ann');
    await (await connect('ann', 'correct horse')).end();
  });

  test('is nowhere in clear text: not in the store, not in the logs', async () => {
    const client = await connect('ann', 'correct horse');
    await client.query(`alter role ann password 'battery staple'`).catch(() => undefined);
    await client.end();
    await connect('ann', 'hunter2').catch(() => undefined);
    const pairs: string[] = [];
    const everything = { startKey: Uint8Array.of(0), endKey: Uint8Array.of(255) };
    for await (const batch of database.begin().scan(everything))
      for (const { value } of batch) pairs.push(Buffer.from(value).toString('latin1'));
    const kept = pairs.join('\n') + JSON.stringify(world.logs);
    expect(kept).toContain('SCRAM-SHA-256$4096:');
    for (const secret of ['correct horse', 'battery staple', 'hunter2'])
      expect(kept).not.toContain(secret);
  });
});

describe('a name that no role has', () => {
  /** What the server says, up to the challenge: salt and rounds. */
  async function challenge(user: string): Promise<string> {
    const client = await RawClient.connect(world.gateway.port);
    client.send(startup({ user }));
    await client.next();
    client.send(message('p', saslInitial('n,,n=,r=abcdefgh')));
    const text = (await client.next())?.body.toString('latin1', 4) ?? '';
    client.destroy();
    return text.replace(/^r=[^,]*,/, '');
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
    const second = await createSqlEngine({ database, clock: new SocketTestClock() });
    expect(await second.logins.verifier('nobody')).toEqual(await engine.logins.verifier('nobody'));
  });
});

describe('time says nothing: the same work is done', () => {
  /** What the store is asked, and how often the client is answered, on the way to a refusal. */
  async function workOf(user: string): Promise<{ reads: number; answers: number }> {
    const begin = vi.spyOn(database, 'begin');
    const client = await RawClient.connect(world.gateway.port);
    client.send(startup({ user, database: 'flotilla' }));
    const answers = [await client.next()];
    client.send(message('p', saslInitial('n,,n=,r=abcdefgh')));
    const challenge = await client.next();
    answers.push(challenge);
    const nonce = /r=([^,]+)/.exec(challenge?.body.toString('latin1') ?? '')?.[1] ?? '';
    const proof = Buffer.alloc(32, 7).toString('base64');
    client.send(message('p', Buffer.from(`c=biws,r=${nonce},p=${proof}`, 'latin1')));
    const refusal = await client.next();
    answers.push(refusal);
    expect(fields(refusal?.body ?? Buffer.alloc(0)).C).toBe('28P01');
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
    await engine.logins.verifier('anybody'); // the secret of made-up verifiers is read once
    expect(await workOf(user)).toEqual(await workOf('ann'));
  });
});

describe('rules', () => {
  test('trust lets a role in, and nobody else', async () => {
    await (await connect('operator')).end();
    await asOperator('alter role operator nologin');
    await expect(connect('operator')).rejects.toMatchObject({ code: '28000' });
    await asOperator('drop role operator');
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
      logins: engine.logins,
    } as const;
    const from = (address: string) =>
      decideAccess({ context, user: 'ann', database: 'flotilla', address, secure: undefined });
    expect(from('::ffff:127.0.0.1').method.method).toBe('scram-sha-256');
    expect(() => from('10.1.2.3')).toThrow(/needs an encrypted connection/);
  });

  test('a store that does not answer is no wrong password', async () => {
    await world.gateway.stop({ graceMs: 0 });
    const failing = await startTestGateway({
      authentication: {
        method: 'scram-sha-256',
        lookup: () => Promise.reject(new DbError('UNAVAILABLE', 'gone')),
      },
    });
    const { port } = failing.gateway;
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'ann', password: 'x' });
    await expect(client.connect()).rejects.toMatchObject({ code: '57P03' });
    await failing.gateway.stop({ graceMs: 0 });
  });
});
