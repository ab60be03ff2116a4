import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  bind,
  close,
  describe as describeMessage,
  execute,
  fields,
  flush,
  message,
  parse,
  query,
  RawClient,
  sync,
  terminate,
  values,
} from '../testing/raw-client.ts';
import {
  eventually,
  startTestGateway,
  stopTestGateway,
  type TestGateway,
} from '../testing/test-gateway.ts';

let world: TestGateway;
let client: RawClient;
beforeEach(async () => {
  world = await startTestGateway();
  ({ client } = await RawClient.ready(world.gateway.port));
});
afterEach(async () => {
  client.destroy();
  world.stage.release();
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

async function errorOf(bytes: Uint8Array): Promise<Record<string, string>> {
  client.send(bytes);
  const error = (await client.untilReady()).find(({ type }) => type === 'E');
  return fields(error?.body ?? Buffer.alloc(0));
}
async function rowsOf(...bytes: Uint8Array[]): Promise<(string | null)[][]> {
  client.send(...bytes);
  return (await client.untilReady())
    .filter(({ type }) => type === 'D')
    .map(({ body }) => values(body));
}
const all = (...parts: Uint8Array[]): Buffer => Buffer.concat(parts);

describe('simple query', () => {
  test('one statement', async () => {
    client.send(query('select 42'));
    const [description, row, complete, ready] = await client.untilReady();
    expect(description?.body.toString('hex')).toBe(
      Buffer.concat([
        Buffer.from([0, 1]),
        Buffer.from('?column?\0'),
        Buffer.from('00000000' + '0000' + '00000017' + '0004' + 'ffffffff' + '0000', 'hex'),
      ]).toString('hex'),
    );
    expect(values(row?.body ?? Buffer.alloc(2))).toEqual(['42']);
    expect(complete?.body.toString()).toBe('SELECT 1\0');
    expect(ready?.body.toString()).toBe('I');
  });

  test('several statements, one ReadyForQuery; an error skips the rest', async () => {
    expect(await client.types(query('select 1; insert x; select 2'))).toBe('TDCCTDCZ');
    expect(await client.types(query('insert a; fail 23505; insert b'))).toBe('CEZ');
    expect(world.stage.begun.slice(-2)).toEqual(['insert a', 'fail 23505']);
  });

  test('an empty text, a comment-free nothing and NULLs', async () => {
    expect(await client.types(query(''))).toBe('IZ');
    expect(await client.types(query(' ; ; '))).toBe('IZ');
    expect(await rowsOf(query('select null'))).toEqual([[null]]);
  });

  test('errors carry every field', async () => {
    expect(await errorOf(query('fail 23505'))).toEqual({
      S: 'ERROR',
      V: 'ERROR',
      C: '23505',
      M: 'told to fail',
      D: 'the detail',
      H: 'the hint',
      P: '3',
      s: 'public',
      t: 't',
      c: 'c',
      n: 't_pkey',
    });
    expect(await errorOf(query('select syntax!'))).toMatchObject({ C: '42601', P: '8' });
    expect(await errorOf(query('select $1'))).toMatchObject({ C: '42P02' });
    expect(await errorOf(query('copy t from stdin'))).toMatchObject({ C: '0A000' });
  });

  test('a defect in a statement is XX000, logged, and does not show its inside', async () => {
    const error = await errorOf(query('boom'));
    expect(error).toMatchObject({ C: 'XX000' });
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(world.logs.filter(({ event }) => event === 'gateway_internal_error')).toHaveLength(1);
    expect(await client.types(query('select 1'))).toBe('TDCZ');
  });

  test('a row that can not be encoded leaves no half message behind', async () => {
    expect(await client.types(query('broken'))).toBe('TDEZ');
    expect(await client.types(query('select 1'))).toBe('TDCZ');
  });

  test('notices and changed settings are told', async () => {
    expect(await client.types(query('notice hello'))).toBe('NCZ');
    client.send(query("set application_name = 'x'"));
    const [, status] = await client.untilReady();
    expect(status).toMatchObject({ type: 'S' });
    expect(status?.body.toString()).toBe('application_name\0x\0');
  });

  test('text with a zero inside, without an end, or not UTF-8 is refused, in step', async () => {
    expect(await errorOf(message('Q', Buffer.from('sel\0ect 1\0')))).toMatchObject({ C: '08P01' });
    expect(await errorOf(message('Q', Buffer.from('select 1')))).toMatchObject({ C: '08P01' });
    expect(await errorOf(message('Q', Buffer.from('')))).toMatchObject({ C: '08P01' });
    expect(await errorOf(message('Q', Buffer.from([0xff, 0])))).toMatchObject({ C: '22021' });
    expect(await client.types(query('select 1'))).toBe('TDCZ');
    expect(world.stage.begun).toEqual(['select 1']);
  });

  test('does away with the unnamed statement', async () => {
    await client.types(all(parse('select 1'), sync));
    await client.types(query('select 2'));
    expect(await errorOf(all(bind(), sync))).toMatchObject({ C: '26000' });
  });

  test('an invariant violation is not answered but handed to the process', async () => {
    client.send(query('invariant'));
    await client.until(() => client.closed);
    expect(world.fatals).toHaveLength(1);
    world.fatals.length = 0;
  });
});

describe('extended query', () => {
  test('parse, bind, describe, execute, sync', async () => {
    const batch = all(
      parse('select $1', 's', [25]),
      describeMessage('S', 's'),
      bind({ statement: 's', values: ['héllo'] }),
      describeMessage('P'),
      execute(),
      sync,
    );
    expect(await client.types(batch)).toBe('1tT2TDCZ');
    const bindAgain = bind({ statement: 's', values: [null] });
    expect(await rowsOf(bindAgain, execute(), sync)).toEqual([[null]]);
  });

  test('the whole conversation one byte at a time', async () => {
    const batch = all(
      parse('select $1', 's', [25]),
      bind({ statement: 's', values: ['x'] }),
      describeMessage('P'),
      execute(),
      close('S', 's'),
      sync,
      query('select 1'),
    );
    await client.sendSlowly(batch);
    const types = [...(await client.untilReady()), ...(await client.untilReady())];
    expect(types.map(({ type }) => type).join('')).toBe('12TDC3ZTDCZ');
  });

  test('several Syncs in one packet are answered in order', async () => {
    const round = all(bind({ statement: 's' }), execute(), sync);
    await client.types(all(parse('select 5', 's'), sync));
    const broken = all(parse('select syntax!'), bind(), execute(), sync);
    const types = await client.types(all(round, broken, round, round, sync, sync), 6);
    expect(types).toBe('2DCZEZ2DCZ2DCZZZ');
  });

  test('after an error everything up to Sync is skipped, even Query', async () => {
    const batch = all(
      bind({ statement: 'nobody' }),
      execute(),
      close('S'),
      query('insert x'),
      message('d', Buffer.from('x')),
      parse('select 1'),
      flush,
      sync,
    );
    expect(await client.types(batch)).toBe('EZ');
    expect(world.stage.begun).toEqual([]);
    expect(await client.types(query('select 1'))).toBe('TDCZ');
  });

  test('an error leaves without Sync or Flush; results leave on Flush', async () => {
    client.send(bind({ statement: 'nobody' }));
    expect((await client.next())?.type).toBe('E');
    client.send(sync);
    await client.untilReady();
    client.send(parse('select 1'), describeMessage('S'), flush);
    expect((await client.next())?.type).toBe('1');
    expect((await client.next())?.type).toBe('t');
    expect((await client.next())?.type).toBe('T');
    client.send(bind(), execute(), flush);
    expect((await client.next())?.type).toBe('2');
    expect((await client.next())?.type).toBe('D');
    expect((await client.next())?.type).toBe('C');
    expect(await client.types(sync)).toBe('Z');
  });

  test('statements without rows have no description; an empty text has no result', async () => {
    const insert = all(parse('insert x'), describeMessage('S'), bind(), describeMessage('P'));
    expect(await client.types(all(insert, execute(), sync))).toBe('1tn2nCZ');
    const empty = all(parse(''), describeMessage('S'), bind(), describeMessage('P'), execute());
    expect(await client.types(all(empty, sync))).toBe('1tn2nIZ');
  });

  test.each([
    ['an unknown statement', bind({ statement: 'x' }), '26000'],
    ['an unknown unnamed statement', bind(), '26000'],
    ['describing an unknown statement', describeMessage('S', 'x'), '26000'],
    ['an unknown portal', execute(0, 'x'), '34000'],
    ['describing an unknown portal', describeMessage('P', 'x'), '34000'],
    ['a taken statement name', all(parse('select 1', 'a'), parse('select 1', 'a')), '42P05'],
    ['two commands', parse('select 1; select 2'), '42601'],
    ['a syntax error', parse('syntax!'), '42601'],
    ['a wrong subtype of Describe', message('D', Buffer.from('X\0')), '08P01'],
    ['a wrong subtype of Close', message('C', Buffer.from('X\0')), '08P01'],
    ['an empty Describe', message('D'), '08P01'],
    ['an Execute without a count', message('E', Buffer.from('\0')), '08P01'],
    ['an Execute with bytes left over', message('E', Buffer.from('\0\0\0\0\0\0')), '08P01'],
    ['a Parse with fewer types than announced', message('P', Buffer.from('\0\0\0\x05')), '08P01'],
    ['a Flush with a body', message('H', Buffer.from('x')), '08P01'],
    ['a function call', message('F', Buffer.alloc(8)), '0A000'],
    ['a statement that fails', all(parse('fail 40001'), bind(), execute()), '40001'],
  ])('%s is answered with an error, in step', async (_name, bytes, code) => {
    client.send(bytes);
    let error = await client.next();
    while (error !== undefined && error.type !== 'E') error = await client.next();
    expect(fields(error?.body ?? Buffer.alloc(0))).toMatchObject({ S: 'ERROR', C: code });
    client.send(sync);
    await client.untilReady();
    if (bytes[0] === 'F'.charCodeAt(0)) await client.untilReady(); // answers like Query
    expect(await client.types(query('select 1'))).toBe('TDCZ');
  });

  test('a Sync with a body is an error, and still a Sync', async () => {
    expect(await client.types(message('S', Buffer.from('x')))).toBe('EZ');
  });

  test('closing what is there and what is not', async () => {
    const batch = all(parse('select 1', 'a'), close('S', 'a'), close('S', 'a'), close('P', 'x'));
    expect(await client.types(all(batch, sync))).toBe('1333Z');
    expect(await errorOf(all(bind({ statement: 'a' }), sync))).toMatchObject({ C: '26000' });
  });

  test('the unnamed statement is replaced, and gone after a failed Parse', async () => {
    await client.types(all(parse('select 1'), parse('select 2'), sync));
    expect(await rowsOf(bind(), execute(), sync)).toEqual([['2']]);
    await client.types(all(parse('syntax!'), sync));
    expect(await errorOf(all(bind(), sync))).toMatchObject({ C: '26000' });
  });

  test('stray copy messages are ignored', async () => {
    const strays = all(message('f', Buffer.from('x\0')), message('d'), message('c'));
    expect(await client.types(all(strays, query('select 1'), strays))).toBe('TDCZ');
    expect(await client.types(all(parse('select 1'), strays, sync))).toBe('1Z');
  });

  test('statements and portals are bounded', async () => {
    await stopTestGateway(world);
    world = await startTestGateway({
      limits: { statementsMax: 2, portalsMax: 2, retainedBytesMax: 1_000 },
    });
    ({ client } = await RawClient.ready(world.gateway.port));
    const three = all(parse('select 1', 'a'), parse('select 1', 'b'), parse('select 1', 'c'));
    expect(await errorOf(all(three, sync))).toMatchObject({ C: '53400' });
    const portals = ['x', 'y', 'z'].map((portal) => bind({ statement: 'a', portal }));
    expect(await errorOf(all(...portals, sync))).toMatchObject({ C: '53400' });
    await client.types(all(close('S', 'b'), sync));
    const long = parse(`select ${'1'.repeat(2_000)}`, 'b');
    expect(await errorOf(all(long, sync))).toMatchObject({ C: '53400' });
    expect(await client.types(all(parse('select 1', 'b'), sync))).toBe('1Z');
  });
});

describe('bind', () => {
  test('formats: none, one for all, one each; binary results', async () => {
    await client.types(all(parse('select $1 $2', 's', [23, 23]), sync));
    const binary = Buffer.from([0, 0, 1, 0]);
    const row = [['256', '7']];
    expect(await rowsOf(bind({ statement: 's', values: ['256', '7'] }), execute(), sync)).toEqual(
      row,
    );
    const mixed = bind({ statement: 's', formats: [1, 0], values: [binary, '7'] });
    expect(await rowsOf(mixed, execute(), sync)).toEqual(row);
    const both = bind({
      statement: 's',
      formats: [1],
      values: [binary, Buffer.from([0, 0, 0, 7])],
    });
    expect(await rowsOf(both, execute(), sync)).toEqual(row);
    const results = bind({ statement: 's', values: ['256', '-7'], resultFormats: [1] });
    client.send(results, describeMessage('P'), execute(), sync);
    const [, description, data] = await client.untilReady();
    expect(description?.body.subarray(-2)).toEqual(Buffer.from([0, 1]));
    expect(data?.body.toString('hex')).toBe('0002' + '0000000400000100' + '00000004fffffff9');
  });

  const two = parse('select $1 $2', '', [23, 23]);
  const raw = (hex: string): Buffer => message('B', Buffer.from(hex, 'hex'));
  test.each([
    ['too few values', bind({ values: ['1'] }), '08P01'],
    ['too many values', bind({ values: ['1', '2', '3'] }), '08P01'],
    ['formats that do not match', bind({ formats: [0, 0, 0], values: ['1', '2'] }), '08P01'],
    [
      'result formats that do not match',
      bind({ values: ['1', '2'], resultFormats: [0, 0, 0] }),
      '08P01',
    ],
    ['a format that does not exist', bind({ formats: [2], values: ['1', '2'] }), '22023'],
    [
      'a result format that does not exist',
      bind({ values: ['1', '2'], resultFormats: [9] }),
      '22023',
    ],
    ['a value that is not one', bind({ values: ['one', '2'] }), '22P02'],
    ['a binary value of a wrong size', bind({ formats: [1], values: ['one', '2'] }), '22P03'],
    ['text that is not UTF-8', bind({ values: [Buffer.from([0xc3]), '2'] }), '22021'],
    ['text with a zero', bind({ values: [Buffer.from('a\0b'), '2'] }), '22021'],
    ['long text that is not UTF-8', bind({ values: [Buffer.alloc(100, 0xe2), '2'] }), '22021'],
    ['a length of -2', raw('00000000' + '0002' + 'fffffffe' + '00000000' + '0000'), '08P01'],
    ['a length of 2^31-1', raw('00000000' + '0002' + '7fffffff' + '00000000' + '0000'), '08P01'],
    [
      'a length one too large',
      raw('00000000' + '0002' + '0000000131' + '0000000432' + '0000'),
      '08P01',
    ],
    ['no result formats', raw('00000000' + '0002' + '0000000131' + '0000000132'), '08P01'],
    ['bytes left over', raw('00000000' + '0002' + '0000000131' + '0000000132' + '000000'), '08P01'],
    ['65,535 formats and no more', raw('0000' + 'ffff'), '08P01'],
  ])('refuses %s', async (_name, bytes, code) => {
    expect(await errorOf(all(two, bytes, sync))).toMatchObject({ S: 'ERROR', C: code });
    expect(await client.types(query('select 1'))).toBe('TDCZ');
  });

  test('65,535 parameters', async () => {
    const count = 65_535;
    const types = new Array<number>(count).fill(23);
    const numbers = types.map((_, index) => String(index));
    client.send(
      parse('select $1', 'wide', types),
      describeMessage('S', 'wide'),
      bind({ statement: 'wide', values: numbers, formats: types.map(() => 0) }),
      execute(),
      sync,
    );
    const messages = await client.untilReady();
    expect(messages.map(({ type }) => type).join('')).toBe('1tT2DCZ');
    expect(messages[1]?.body.readUInt16BE(0)).toBe(count);
    expect(values(messages[4]?.body ?? Buffer.alloc(2))).toEqual(numbers);
  });

  test('a named portal is not replaced, the unnamed one is', async () => {
    await client.types(all(parse('select 1', 's'), sync));
    const named = bind({ statement: 's', portal: 'p' });
    expect(await errorOf(all(named, named, sync))).toMatchObject({ C: '42P03' });
    expect(await client.types(all(bind({ statement: 's' }), bind({ statement: 's' }), sync))).toBe(
      '22Z',
    );
  });
});

describe('portals', () => {
  const series = all(parse('values 5', 's'), bind({ statement: 's', portal: 'p' }));

  test('are run piece by piece', async () => {
    expect(
      await client.types(all(series, execute(2, 'p'), execute(2, 'p'), execute(2, 'p'), sync)),
    ).toBe('12DDsDDsDCZ');
    expect(world.stage.finished).toEqual(['values 5']);
  });

  test('count the rows of the last Execute; are over afterwards', async () => {
    client.send(series, execute(3, 'p'), execute(0, 'p'), execute(0, 'p'), sync);
    const tags = (await client.untilReady())
      .filter(({ type }) => type === 'C')
      .map(({ body }) => body.toString());
    expect(tags).toEqual(['SELECT 2\0', 'SELECT 0\0']);
  });

  test('do not look ahead: exactly as many rows as asked for suspends', async () => {
    expect(await client.types(all(series, execute(5, 'p'), execute(5, 'p'), sync))).toBe(
      '12DDDDDsCZ',
    );
  });

  test('take a negative number of rows for all', async () => {
    expect(await client.types(all(series, execute(-1, 'p'), sync))).toBe('12DDDDDCZ');
  });

  test('do not outlive Sync, and let go of their result', async () => {
    expect(await client.types(all(series, execute(2, 'p'), sync))).toBe('12DDsZ');
    expect(await errorOf(all(execute(2, 'p'), sync))).toMatchObject({ C: '34000' });
    expect(world.stage.begun).toEqual(['values 5']);
    expect(world.stage.returned).toEqual(['values 5']);
  });

  test('of a query half-read by Sync are given up; of an INSERT they run to the end', async () => {
    const select = all(parse('select 1'), bind(), execute(1), sync);
    expect(await client.types(select)).toBe('12DsZ');
    expect(world.stage.returned).toEqual(['select 1']);
    const insert = all(parse('insert x returning id'), bind(), execute(1), sync);
    expect(await client.types(insert)).toBe('12DsZ');
    expect(world.stage.finished).toEqual(['insert x returning id']);
  });

  test('closed half-read, and replaced half-read', async () => {
    const half = all(parse('select 1'), bind(), execute(1));
    expect(await client.types(all(half, close('P'), sync))).toBe('12Ds3Z');
    expect(await client.types(all(half, bind(), execute(), sync))).toBe('12Ds2DCZ');
    expect(world.stage.returned).toEqual(['select 1', 'select 1']);
  });

  test('of a statement that writes are not run twice', async () => {
    const batch = all(parse('insert x'), bind(), execute(), execute(), sync);
    expect(await client.types(batch)).toBe('12CEZ');
    expect(world.stage.begun).toEqual(['insert x']);
  });
});

describe('the end', () => {
  test('Terminate closes', async () => {
    client.send(terminate);
    expect(await client.untilEnd()).toEqual([]);
  });

  test('a client that vanishes takes its statement with it', async () => {
    client.send(query('wait 1'));
    await world.stage.until(() => world.stage.begun.length === 1);
    client.socket.end();
    await world.stage.until(() => world.stage.aborted.length === 1);
    await eventually(() => world.gateway.connectionCount === 0);
  });

  test('so does one that resets the connection', async () => {
    client.send(query('wait 1'));
    await world.stage.until(() => world.stage.begun.length === 1);
    client.socket.resetAndDestroy();
    await world.stage.until(() => world.stage.aborted.length === 1);
    await eventually(() => world.gateway.connectionCount === 0);
  });

  test('one that says goodbye while its write runs gets the write', async () => {
    client.send(parse('waitinsert 1'), bind(), execute(), sync, terminate);
    await world.stage.until(() => world.stage.begun.length === 1);
    client.socket.end();
    const other = await RawClient.ready(world.gateway.port); // the end has been seen by then
    other.client.destroy();
    expect(world.stage.aborted).toEqual([]);
    world.stage.release();
    await world.stage.until(() => world.stage.finished.includes('waitinsert 1'));
    await eventually(() => world.gateway.connectionCount === 0);
  });

  test('what is asked for before Terminate is answered before the close', async () => {
    client.send(query('select 1'), query('select 2'), terminate);
    const types = (await client.untilEnd()).map(({ type }) => type).join('');
    expect(types).toBe('TDCZTDCZ');
  });
});
