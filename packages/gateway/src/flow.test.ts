/** Framing, backpressure, stalls and shutdown: what one client may do to the gateway's memory and time. */
import { afterEach, describe, expect, test } from 'vitest';
import type { GatewayOptions } from './gateway.ts';
import {
  bind,
  execute,
  fields,
  message,
  parse,
  query,
  RawClient,
  startup,
  sync,
} from './testing/raw-client.ts';
import {
  eventually,
  startTestGateway,
  stopTestGateway,
  type TestGateway,
} from './testing/test-gateway.ts';

let world: TestGateway;
async function start(options: Partial<GatewayOptions> = {}): Promise<RawClient> {
  world = await startTestGateway(options);
  return (await RawClient.ready(world.gateway.port)).client;
}
afterEach(async () => {
  world.stage.release();
  await stopTestGateway(world);
  expect(world.gateway.connectionCount).toBe(0);
  expect(world.fatals).toEqual([]);
});

async function lastError(client: RawClient): Promise<Record<string, string>> {
  return fields((await client.untilEnd()).at(-1)?.body ?? Buffer.alloc(0));
}

describe('framing', () => {
  test.each([
    ['a length of 3', message('Q', Buffer.from('select 1\0'), 3)],
    ['a length of 0', message('S', Buffer.alloc(0), 0)],
    ['a length of -1', message('Q', Buffer.from('x\0'), -1)],
    ['a length of -2^31', message('P', Buffer.from('x\0'), -0x8000_0000)],
    ['a Query above 64 MiB', message('Q', Buffer.alloc(0), 64 * 1024 * 1024 + 1)],
    ['a small message above 10,000', message('D', Buffer.alloc(0), 10_001)],
    ['a Sync above 10,000', message('S', Buffer.alloc(0), 10_001)],
    ['an unknown type', message('!', Buffer.from('x'))],
    ['a lower-case query', message('q', Buffer.from('x'))],
    ['a password out of place', message('p', Buffer.from('secret\0'))],
    ['a zero type', message('\0', Buffer.from('x'))],
  ])('%s is fatal at once, without waiting for a body', async (_name, bytes) => {
    const client = await start();
    client.send(query('select 1'), bytes.subarray(0, 5));
    await client.untilReady();
    expect(await lastError(client)).toMatchObject({ S: 'FATAL', C: '08P01' });
  });

  test('an unknown type is fatal without its length', async () => {
    const client = await start();
    client.send(Buffer.from('!'));
    expect(await lastError(client)).toMatchObject({ S: 'FATAL', C: '08P01' });
  });

  test('a message of many chunks arrives whole', async () => {
    const client = await start();
    const text = 'y'.repeat(3_000_000);
    client.send(query(`select ${text}`));
    const row = (await client.untilReady()).find(({ type }) => type === 'D');
    expect(row?.body.length).toBe(text.length + 6);
    expect(row?.body.subarray(6).toString()).toBe(text);
  });

  test('many small messages in one write', async () => {
    const client = await start();
    const count = 20_000;
    client.send(Buffer.concat(new Array<Buffer>(count).fill(sync)));
    for (let left = count; left > 0; left--) expect((await client.next())?.type).toBe('Z');
  });

  test('half a message and then silence: dropped when the limit has passed without a byte', async () => {
    const client = await start();
    client.send(query('select 1').subarray(0, 7));
    const other = await RawClient.ready(world.gateway.port); // the half has been read by then
    world.clock.advance(59_999);
    client.send(query('select 1').subarray(7, 8)); // a sign of life
    await other.client.types(query('select 1'));
    world.clock.advance(59_999);
    expect(client.closed).toBe(false);
    world.clock.advance(1);
    await client.until(() => client.closed);
    expect(await other.client.types(query('select 1'))).toBe('TDCZ'); // silence between messages is fine
  });
});

describe('backpressure', () => {
  const limits = { flushBytes: 16 * 1024, turnBytesMax: 256 * 1024, readAheadBytesMax: 64 * 1024 };

  test('a reader that does not read stops its result, and only its own; reading resumes it', async () => {
    const client = await start({ limits });
    client.socket.pause();
    client.send(query('values 40000 2000')); // 80 MB
    await eventually(() => world.stage.batches > 0);
    const other = await RawClient.ready(world.gateway.port);
    let before = -1;
    while (before !== world.stage.batches) {
      before = world.stage.batches;
      for (let turn = 0; turn < 20; turn++) await other.client.types(query('select 1'));
    }
    expect(world.stage.batches).toBeLessThan(150); // of 400; the kernel's buffers take some MB
    client.socket.resume();
    let rows = 0;
    for (;;) {
      const next = await client.next();
      if (next === undefined || next.type === 'Z') break;
      if (next.type === 'D') rows++;
    }
    expect(rows).toBe(40_000);
  });

  test('a reader that stalls past the limit is dropped, its statement stopped', async () => {
    const client = await start({ limits });
    client.socket.pause();
    client.send(query('values 40000 2000'));
    await eventually(() => world.stage.batches > 0);
    const other = await RawClient.ready(world.gateway.port);
    let before = -1;
    while (before !== world.stage.batches) {
      before = world.stage.batches;
      for (let turn = 0; turn < 20; turn++) await other.client.types(query('select 1'));
    }
    world.clock.advance(60_000);
    world.clock.advance(60_000);
    await eventually(() => world.gateway.connectionCount === 1);
    expect(world.stage.returned.length + world.stage.aborted.length).toBe(1);
    client.destroy();
  });

  test('a writer that does not read its answers is not read from without end', async () => {
    const client = await start({ limits });
    client.socket.pause();
    const count = 4_000; // 40 MB, and as much in answers
    client.send(
      Buffer.concat(new Array<Buffer>(count).fill(query(`select ${'z'.repeat(10_000)}`))),
    );
    const other = await RawClient.ready(world.gateway.port);
    const answered = (): number => world.stage.begun.filter((text) => text.length > 100).length;
    let before = -1;
    while (before !== answered()) {
      before = answered();
      for (let turn = 0; turn < 20; turn++) await other.client.types(query('select 1'));
    }
    expect(answered()).toBeLessThan(count / 2); // the kernel's buffers take some MB
    expect(client.socket.writableLength).toBeGreaterThan(10_000_000); // not ours to hold
    client.socket.resume();
    for (let left = count; left > 0; left--) await client.untilReady();
    expect(answered()).toBe(count);
  });

  test('work queued behind a running statement is bounded, then done', async () => {
    const client = await start({ limits });
    client.send(query('wait 1'));
    await world.stage.until(() => world.stage.begun.length === 1);
    const count = 3_000;
    client.send(Buffer.concat(new Array<Buffer>(count).fill(query(`select ${'q'.repeat(1_000)}`))));
    await client.types(Buffer.alloc(0), 0);
    world.stage.release();
    for (let left = count + 1; left > 0; left--) await client.untilReady();
    expect(world.stage.begun.length).toBe(count + 1);
  });

  test('one huge row goes out in pieces, intact', async () => {
    const client = await start({ limits });
    client.send(query('values 3 5000000'));
    const rows = (await client.untilReady()).filter(({ type }) => type === 'D');
    expect(rows.map(({ body }) => body.length)).toEqual([5_000_011, 5_000_011, 5_000_011]);
  });
});

describe('shutdown', () => {
  test('idle clients hear 57P01 and the port is closed', async () => {
    const client = await start();
    const half = await RawClient.connect(world.gateway.port);
    half.send(startup().subarray(0, 5));
    await eventually(() => world.gateway.connectionCount === 2);
    const stopped = world.gateway.stop({ graceMs: 1_000 });
    expect(await lastError(client)).toMatchObject({ S: 'FATAL', C: '57P01' });
    await half.until(() => half.ended);
    client.socket.end();
    half.socket.end();
    await stopped;
    await expect(RawClient.connect(world.gateway.port)).rejects.toThrow();
  });

  test('a running statement ends first, what is queued behind it does not begin', async () => {
    const client = await start();
    client.send(query('wait 1'), query('select 2'));
    await world.stage.until(() => world.stage.begun.length === 1);
    const stopped = world.gateway.stop({ graceMs: 1_000 });
    world.stage.release();
    expect((await client.untilReady()).map(({ type }) => type).join('')).toBe('CZ');
    expect(await lastError(client)).toMatchObject({ C: '57P01' });
    expect(world.stage.begun).toEqual(['wait 1']);
    client.socket.end();
    await stopped;
  });

  test('a batch is finished up to its Sync', async () => {
    const client = await start();
    client.send(parse('wait 1'), bind(), execute(), bind(), execute(), sync, sync);
    await world.stage.until(() => world.stage.begun.length === 1);
    const stopped = world.gateway.stop({ graceMs: 1_000 });
    world.stage.release();
    await world.stage.until(() => world.stage.begun.length === 2);
    world.stage.release();
    expect((await client.untilReady()).map(({ type }) => type).join('')).toBe('12C2CZ');
    expect(await lastError(client)).toMatchObject({ C: '57P01' });
    client.socket.end();
    await stopped;
  });

  test('after the grace period it is stopped', async () => {
    const client = await start();
    client.send(query('wait 1'));
    await world.stage.until(() => world.stage.begun.length === 1);
    const stopped = world.gateway.stop({ graceMs: 1_000 });
    world.clock.advance(999);
    expect(world.stage.aborted).toEqual([]);
    world.clock.advance(1);
    expect(await lastError(client)).toMatchObject({ S: 'FATAL', C: '57P01' });
    await world.stage.until(() => world.stage.aborted.length === 1);
    client.socket.end();
    await stopped;
  });

  test('a client that does not close is not waited for', async () => {
    await start();
    await stopTestGateway(world);
  });
});
