import { afterEach, describe, expect, test } from 'vitest';
import {
  bind,
  cancelRequest,
  execute,
  fields,
  gssEncRequest,
  parse,
  query,
  RawClient,
  sslRequest,
  startup,
  sync,
  values,
} from './testing/raw-client.ts';
import {
  eventually,
  startTestGateway,
  stopTestGateway,
  type TestGateway,
} from './testing/test-gateway.ts';

const open: TestGateway[] = [];
async function start(...options: Parameters<typeof startTestGateway>): Promise<TestGateway> {
  const world = await startTestGateway(...options);
  open.push(world);
  return world;
}
afterEach(async () => {
  for (const world of open.splice(0)) {
    await stopTestGateway(world);
    expect(world.gateway.connectionCount).toBe(0);
    expect(world.fatals).toEqual([]);
  }
});

async function parameterStatus(port: number, parameters: Record<string, string>) {
  const { client, greeting } = await RawClient.ready(port, parameters);
  client.destroy();
  return new Map(
    greeting
      .filter(({ type }) => type === 'S')
      .map(({ body }) => body.toString().split('\0').slice(0, 2) as [string, string]),
  );
}

describe('start-up', () => {
  test('greets with AuthenticationOk, thirteen settings, a cancel key and ReadyForQuery', async () => {
    const { gateway } = await start({ gatewayId: 5 });
    const { client, greeting } = await RawClient.ready(gateway.port, {
      user: 'alice',
      application_name: 'test',
    });
    expect(greeting.map(({ type }) => type).join('')).toBe(`R${'S'.repeat(13)}KZ`);
    expect(greeting[0]?.body).toEqual(Buffer.alloc(4));
    const key = greeting[14]?.body;
    expect(key?.length).toBe(8);
    expect((key?.readInt32BE(0) ?? 0) >>> 21).toBe(5);
    expect(greeting[15]?.body.toString()).toBe('I');
    client.destroy();
    expect(Object.fromEntries(await parameterStatus(gateway.port, { user: 'bob' }))).toEqual({
      application_name: '',
      client_encoding: 'UTF8',
      DateStyle: 'ISO, MDY',
      default_transaction_read_only: 'off',
      in_hot_standby: 'off',
      integer_datetimes: 'on',
      IntervalStyle: 'postgres',
      is_superuser: 'off',
      server_encoding: 'UTF8',
      server_version: '15.8 (Flotilla 0.1.0)',
      session_authorization: 'bob',
      standard_conforming_strings: 'on',
      TimeZone: 'UTC',
    });
  });

  test('works one byte at a time, and with the first query in the same packet', async () => {
    const { gateway } = await start();
    const slow = await RawClient.connect(gateway.port);
    await slow.sendSlowly(startup());
    await slow.untilReady();
    const eager = await RawClient.connect(gateway.port);
    eager.send(startup(), query('select 7'), query('select 8'));
    await eager.untilReady();
    expect(values((await eager.untilReady())[1]?.body ?? Buffer.alloc(2))).toEqual(['7']);
    expect(values((await eager.untilReady())[1]?.body ?? Buffer.alloc(2))).toEqual(['8']);
  });

  test('settings of the packet and of `options` reach the session before the greeting', async () => {
    const { gateway } = await start();
    const status = await parameterStatus(gateway.port, {
      user: 'alice',
      TimeZone: 'Europe/Paris',
      client_encoding: "'utf-8'",
      options: '-c DateStyle=German\\ x --IntervalStyle=iso_8601',
    });
    expect(status.get('TimeZone')).toBe('Europe/Paris');
    expect(status.get('DateStyle')).toBe('German x');
    expect(status.get('IntervalStyle')).toBe('iso_8601');
  });

  test.each([
    [{ user: 'alice', nonsense: '1' }, '42704'],
    [{ user: 'alice', "x'; drop table t; --": '1' }, '42704'],
    [{ user: 'alice', options: 'nonsense' }, '42601'],
    [{ user: 'alice', client_encoding: 'LATIN1' }, '22023'],
    [{ user: 'alice', database: 'missing' }, '3D000'],
    [{ user: 'alice', replication: 'database' }, '0A000'],
    [{ database: 'db' }, '28000'],
  ])('refuses %j with %s', async (parameters, code) => {
    const { gateway } = await start();
    const client = await RawClient.connect(gateway.port);
    client.send(startup(parameters));
    const messages = await client.untilEnd();
    const error = messages.at(-1);
    expect(error?.type).toBe('E');
    expect(fields(error?.body ?? Buffer.alloc(0))).toMatchObject({
      S: 'FATAL',
      V: 'FATAL',
      C: code,
    });
    expect(messages.some(({ type }) => type === 'Z' || type === 'K')).toBe(false);
  });

  test('a newer minor version and unknown options are negotiated down', async () => {
    const { gateway } = await start();
    const client = await RawClient.connect(gateway.port);
    client.send(startup({ user: 'alice', '_pq_.a': '1', '_pq_.b': '2' }, 0x0003_270f));
    const [first] = await client.untilReady();
    expect(first?.type).toBe('v');
    expect(first?.body.readInt32BE(0)).toBe(0x0003_0000);
    expect(first?.body.readInt32BE(4)).toBe(2);
    expect(first?.body.toString('utf8', 8)).toBe('_pq_.a\0_pq_.b\0');
  });

  test('another major version is refused in words', async () => {
    const { gateway } = await start();
    const client = await RawClient.connect(gateway.port);
    client.send(startup({ user: 'alice' }, 0x0002_0000));
    expect(fields((await client.untilEnd())[0]?.body ?? Buffer.alloc(0)).C).toBe('0A000');
  });
});

describe('before start-up', () => {
  test('GSSENCRequest and SSLRequest are declined, each once', async () => {
    const { gateway } = await start();
    const client = await RawClient.connect(gateway.port);
    client.send(gssEncRequest);
    expect(await client.answer()).toBe('N');
    await client.sendSlowly(sslRequest);
    expect(await client.answer()).toBe('N');
    client.send(startup());
    await client.untilReady();
    const twice = await RawClient.connect(gateway.port);
    twice.send(sslRequest);
    expect(await twice.answer()).toBe('N');
    twice.send(sslRequest);
    expect(await twice.answer()).toBe('');
  });

  test('bytes behind an SSLRequest end the connection without an answer', async () => {
    const { gateway, stage } = await start();
    const client = await RawClient.connect(gateway.port);
    client.send(sslRequest, startup(), query('select 1'));
    expect(await client.answer()).toBe('');
    expect(stage.begun).toEqual([]);
  });

  test.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['TLS', Buffer.from('16030100c4010000c00303', 'hex')],
    ['a huge length', Buffer.from('7fffffff00030000', 'hex')],
    ['a negative length', Buffer.from('ffffffff00030000', 'hex')],
    ['a length of 10001', Buffer.from('0000271100030000', 'hex')],
    ['a length of 7', Buffer.from('0000000700030000', 'hex')],
  ])('%s is closed without a word', async (_name, bytes) => {
    const { gateway } = await start();
    const client = await RawClient.connect(gateway.port);
    client.send(bytes);
    expect(await client.untilEnd()).toEqual([]);
    expect(client.received).toBe(0);
  });

  test('the largest startup packet is taken, one byte more is not', async () => {
    const { gateway } = await start();
    const filler = (length: number) => {
      const empty = startup({ user: 'alice', x: '' }).length;
      return startup({ user: 'alice', x: 'x'.repeat(length - empty) });
    };
    const client = await RawClient.connect(gateway.port);
    client.send(filler(10_000));
    await client.untilReady();
    const other = await RawClient.connect(gateway.port);
    other.send(filler(10_001));
    expect(await other.untilEnd()).toEqual([]);
  });

  test('who is silent or slow past the deadline is dropped; who is served is not', async () => {
    const { gateway, clock } = await start();
    const silent = await RawClient.connect(gateway.port);
    const slow = await RawClient.connect(gateway.port);
    slow.send(startup().subarray(0, 9));
    const { client: served } = await RawClient.ready(gateway.port);
    await eventually(() => gateway.connectionCount === 3);
    clock.advance(9_999);
    expect(gateway.connectionCount).toBe(3);
    clock.advance(1);
    await silent.until(() => silent.closed);
    await slow.until(() => slow.closed);
    clock.advance(10_000_000);
    expect(await served.types(query('select 1'))).toBe('TDCZ');
    expect(gateway.connectionCount).toBe(1);
  });

  test('who waits for the cluster past the deadline is told so, and who has not given a password too', async () => {
    const never = new Promise<never>(() => {});
    const logins = { admit: () => never, verifier: () => never };
    const lastWords = async (...options: Parameters<typeof startTestGateway>) => {
      const { gateway, clock, logs } = await start(...options);
      const client = await RawClient.connect(gateway.port);
      client.send(startup());
      expect((await client.next())?.type).toBe('R');
      expect(logs.map(({ event }) => event)).not.toContain('gateway_authentication_timeout');
      clock.advance(10_000);
      return fields((await client.untilEnd()).at(-1)?.body ?? Buffer.alloc(0));
    };
    expect(await lastWords({ logins })).toMatchObject({
      S: 'FATAL',
      C: '57P03',
      M: 'the cluster did not answer in time to start a session',
    });
    const authentication = { method: 'scram-sha-256', lookup: () => never } as const;
    expect(await lastWords({ authentication })).toMatchObject({
      S: 'FATAL',
      C: '57014',
      M: 'canceling authentication due to timeout',
    });
  });

  test('an unauthenticated client can not make us hold more than the limit', async () => {
    const never = new Promise<never>(() => {});
    const { gateway } = await start({
      authentication: { method: 'scram-sha-256', lookup: () => never },
    });
    const client = await RawClient.connect(gateway.port);
    client.send(startup(), Buffer.alloc(100_000));
    await client.until(() => client.closed || client.ended);
  });
});

describe('admission', () => {
  test('too many unauthenticated sockets of one address are refused; room returns', async () => {
    const { gateway } = await start({ limits: { unauthenticatedPerAddressMax: 2 } });
    const first = await RawClient.connect(gateway.port);
    const second = await RawClient.connect(gateway.port);
    await eventually(() => gateway.connectionCount === 2);
    const third = await RawClient.connect(gateway.port);
    expect(fields((await third.untilEnd())[0]?.body ?? Buffer.alloc(0)).C).toBe('53300');
    first.destroy();
    await eventually(() => gateway.connectionCount === 1);
    const { client: fourth } = await RawClient.ready(gateway.port);
    second.send(startup());
    await second.untilReady(); // both are past it: the allowance is free again
    await RawClient.ready(gateway.port);
    await RawClient.ready(gateway.port);
    expect(await fourth.types(query('select 1'))).toBe('TDCZ');
  });

  test('too many sessions are refused with 53300; room returns', async () => {
    const { gateway } = await start({ limits: { connectionsMax: 1 } });
    const { client: first } = await RawClient.ready(gateway.port);
    const second = await RawClient.connect(gateway.port);
    second.send(startup());
    const last = (await second.untilEnd()).at(-1);
    expect(fields(last?.body ?? Buffer.alloc(0))).toMatchObject({ C: '53300', S: 'FATAL' });
    first.destroy();
    second.destroy();
    await eventually(() => gateway.connectionCount === 0);
    await RawClient.ready(gateway.port);
  });
});

describe('cancel', () => {
  async function keyed(world: TestGateway) {
    const { client, greeting } = await RawClient.ready(world.gateway.port);
    const body = greeting.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8);
    return { client, processId: body.readInt32BE(0), secret: body.subarray(4) };
  }
  async function cancel(world: TestGateway, processId: number, secret: Buffer): Promise<void> {
    const client = await RawClient.connect(world.gateway.port);
    client.send(cancelRequest(processId, secret));
    expect(await client.untilEnd()).toEqual([]);
    expect(client.received).toBe(0);
  }

  test('stops the running statement of that session only, which goes on', async () => {
    const world = await start();
    const victim = await keyed(world);
    const other = await keyed(world);
    victim.client.send(query('wait 1'));
    other.client.send(query('wait 2'));
    await world.stage.until(() => world.stage.begun.length === 2);
    await cancel(world, victim.processId, victim.secret);
    const [error, ready] = await victim.client.untilReady();
    expect(fields(error?.body ?? Buffer.alloc(0))).toMatchObject({
      S: 'ERROR',
      C: '57014',
      M: 'canceling statement due to user request',
    });
    expect(ready?.type).toBe('Z');
    expect(world.stage.aborted).toEqual(['wait 1']);
    expect(await victim.client.types(query('select 1'))).toBe('TDCZ');
    world.stage.release();
    expect((await other.client.untilReady()).map(({ type }) => type).join('')).toBe('CZ');
  });

  test('with a wrong secret, for nobody, or between statements does nothing', async () => {
    const world = await start();
    const { client, processId, secret } = await keyed(world);
    const wrong = Buffer.from(secret);
    wrong[3] = (wrong[3] ?? 0) ^ 1;
    await cancel(world, processId, secret); // idle: nothing to stop, and nothing is kept for later
    client.send(query('wait 1'));
    await world.stage.until(() => world.stage.begun.length === 1);
    await cancel(world, processId, wrong);
    await cancel(world, processId + 1, secret);
    await cancel(world, (7 << 21) | 1, secret);
    expect(world.stage.aborted).toEqual([]);
    world.stage.release();
    expect((await client.untilReady()).map(({ type }) => type).join('')).toBe('CZ');
    expect(world.logs.filter(({ event }) => event === 'gateway_cancel_request')).toMatchObject([
      { facts: { outcome: 'cancelled' } },
      { facts: { outcome: 'wrong_key' } },
      { facts: { outcome: 'wrong_key' } },
      { facts: { outcome: 'other_gateway' } },
    ]);
    expect(JSON.stringify(world.logs)).not.toContain(secret.toString('hex'));
  });

  test('in the extended protocol skips to Sync', async () => {
    const world = await start();
    const { client, processId, secret } = await keyed(world);
    client.send(parse('wait 1'), sync);
    await client.untilReady();
    client.send(bind(), execute(), execute(), sync);
    await world.stage.until(() => world.stage.begun.length === 1);
    await cancel(world, processId, secret);
    expect((await client.untilReady()).map(({ type }) => type).join('')).toBe('2EZ');
  });
});
