/** Passwords and what proves them are said to nobody: planted ones are looked for in all that is logged and shown. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  bind,
  execute,
  message,
  parse,
  query,
  RawClient,
  sync,
  values,
} from './testing/raw-client.ts';
import { loginByScram, type ScramExchange } from './testing/scram.ts';
import {
  eventually,
  type SqlGateway,
  startGuardedGateway,
  startTestGateway,
  stopTestGateway,
} from './testing/test-gateway.ts';

const who = { user: 'ann', database: 'flotilla' };

let world: SqlGateway;
let operator: RawClient;
beforeEach(async () => {
  world = await startGuardedGateway(`create role ann superuser login password 'canary of ann'`);
  operator = (await RawClient.ready(world.gateway.port, { user: 'operator', database: 'flotilla' }))
    .client;
});
afterEach(async () => {
  operator.destroy();
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

async function rowsOf(text: string): Promise<string[]> {
  operator.send(query(text));
  const messages = await operator.untilReady();
  expect(messages.map(({ type }) => type)).not.toContain('E');
  return messages.flatMap(({ type, body }) => (type === 'D' ? [values(body).join('|')] : []));
}

/** All log lines of gateway and engine, and every row of every table about sessions and the cluster. */
async function everythingSaid(): Promise<string> {
  const tables = await rowsOf(`select 'flotilla.' || quote_ident(c.relname) from pg_class c
    join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'flotilla' order by 1`);
  expect(tables).toContain('flotilla.sessions');
  const said = [JSON.stringify(world.logs)];
  for (const table of [...tables, 'pg_stat_activity', 'pg_locks', 'pg_cursors'])
    said.push(...(await rowsOf(`select * from ${table}`)));
  return said.join('\n');
}

/** The parts of an exchange that are secret, or prove a secret, or could be used again. */
function secretsOf(exchange: ScramExchange): string[] {
  const attributes = [exchange.clientFirst, exchange.serverFirst, exchange.clientFinal];
  return [...attributes, exchange.serverFinal]
    .flatMap((text) => text.split(','))
    .filter((attribute) => /^[rspv]=/.test(attribute))
    .map((attribute) => attribute.slice(2));
}

test('a login, right or wrong, leaves no trace of its password and its messages', async () => {
  const right = await RawClient.connect(world.gateway.port);
  const login = await loginByScram(right, who, 'canary of ann');
  await right.untilReady();
  const wrong = await RawClient.connect(world.gateway.port);
  const refusal = await loginByScram(wrong, who, 'canary guessed');
  expect([login.serverFinal, refusal.serverFinal]).toEqual([expect.stringMatching(/^v=/), '']);
  // Who asks for a password in clear text gets it from some clients, and has it then in a message.
  const clear = await RawClient.connect(world.gateway.port);
  clear.send(message('p', Buffer.from('canary in clear text\0')));
  await clear.untilEnd();
  const said = await everythingSaid();
  expect(said).toContain('"code":"28P01"');
  expect(said).toContain('ann');
  const secrets = [...secretsOf(login), ...secretsOf(refusal)];
  expect(secrets.length).toBe(11);
  for (const secret of [...secrets, 'canary']) expect(said).not.toContain(secret);
  for (const client of [right, wrong, clear]) client.destroy();
});

const verifier = `SCRAM-SHA-256$4096:${'c'.repeat(22)}==$${'a'.repeat(43)}=:${'b'.repeat(43)}=`;

test.each([
  ['CREATE ROLE', `create role new login password 'canary'`, 'C'],
  ['CREATE USER, encrypted', `create user new encrypted password 'canary'`, 'C'],
  ['ALTER ROLE', `alter role ann password 'canary'`, 'C'],
  ['a verifier', `alter role ann password '${verifier}'`, 'C'],
  ['one that another statement follows', `alter role ann password 'canary'; select 1/0`, 'CE'],
  ['one in dollar quotes', 'alter role ann valid until $$2100-01-01$$ PassWord $x$canary$x$', 'C'],
  ['an unknown role', `alter role nobody password 'canary'`, 'E'],
  ['a syntax error', `alter role ann password 'canary' canary`, 'E'],
  ['a forgotten quote', `alter role ann password 'canary`, 'E'],
  ['one that is too long to be shown', `${' '.repeat(2000)}alter role ann password 'canary'`, 'C'],
])('a statement about a password is shown to nobody: %s', async (_what, text, expected) => {
  const client = await RawClient.connect(world.gateway.port);
  await loginByScram(client, who, 'canary of ann');
  await client.untilReady();
  expect(await client.types(query(text))).toBe(`${expected.replace('CE', 'CTE')}Z`);
  const types = await client.types(
    Buffer.concat([parse(text, 's'), bind({ statement: 's' }), execute(), sync]),
  );
  expect(types).toMatch(/^(12CZ|12EZ|EZ)$/);
  const said = await everythingSaid();
  expect(said).toContain('ann');
  for (const secret of ['canary', verifier, 'a'.repeat(43), 'b'.repeat(43)])
    expect(said).not.toContain(secret);
  client.destroy();
});

test('not even while it runs', async () => {
  const client = await RawClient.connect(world.gateway.port);
  await loginByScram(client, who, 'canary of ann');
  await client.untilReady();
  client.send(query(`select pg_sleep(60), 'password', 'canary'`));
  const running = `select count(*) from pg_stat_activity where usename = 'ann' and state = 'active'`;
  while ((await rowsOf(running))[0] !== '1');
  const said = await everythingSaid();
  expect(said).toContain('<a statement about a password>');
  expect(said).not.toContain('canary');
  client.destroy();
  await eventually(() => world.gateway.connectionCount === 1);
});

test('a defect is logged without what it says, which may quote a client', async () => {
  const scripted = await startTestGateway();
  const { client } = await RawClient.ready(scripted.gateway.port);
  expect(await client.types(query('boom'))).toBe('EZ');
  client.destroy();
  await stopTestGateway(scripted);
  const [defect] = scripted.logs.filter(({ event }) => event === 'gateway_internal_error');
  expect(defect?.facts).toMatchObject({
    name: 'TypeError',
    stack: expect.stringMatching(/^ +at /),
  });
  expect(JSON.stringify(scripted.logs)).not.toContain('secret detail of the inside');
});
