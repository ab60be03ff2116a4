/** Binary COPY over the wire: the bytes are PostgreSQL's, however they are cut, and what is wrong with them is said as there. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fields, message, query, RawClient, values } from './testing/raw-client.ts';
import { startSqlGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

let world: TestGateway;
let client: RawClient;

const columns = 'a int primary key, b text, c text, d numeric, e bool';
/** What PostgreSQL 15 sends for (1, 'ab', null, 1.5, true), (-2, '', 'x', -0.001, null). */
const recorded = Buffer.from(
  '5047434f50590aff0d0a00000000000000000000050000000400000001000000026162ffffffff0000000c0002000000000001000113880000000101000500000004fffffffe0000000000000001780000000a0001ffff40000003000affffffffffff',
  'hex',
);

beforeEach(async () => {
  world = await startSqlGateway();
  ({ client } = await RawClient.ready(world.gateway.port));
  await client.types(query(`create table t (${columns})`));
});

afterEach(async () => {
  client.destroy();
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
});

async function copyIn(...chunks: Buffer[]): Promise<string[]> {
  client.send(
    query('copy t from stdin (format binary)'),
    ...chunks.map((chunk) => message('d', chunk)),
    message('c'),
  );
  return (await client.untilReady()).map(({ type, body }) => {
    if (type === 'E') {
      const { C, M, W } = fields(body);
      return `E ${C} ${M} / ${W ?? ''}`;
    }
    if (type === 'G') return `G ${body.toString('hex')}`;
    return type === 'C' ? `C ${body.toString().slice(0, -1)}` : type;
  });
}

async function copyOut(): Promise<Buffer> {
  client.send(query('copy (select * from t order by a desc) to stdout (format binary)'));
  const messages = await client.untilReady();
  expect(messages[0]).toMatchObject({ type: 'H' });
  expect(messages[0]?.body.toString('hex')).toBe('01000500010001000100010001');
  return Buffer.concat(messages.flatMap(({ type, body }) => (type === 'd' ? [body] : [])));
}

describe('binary COPY', () => {
  it('sends its head with the first row, or with the end', async () => {
    const messages = async (text: string): Promise<string[]> => {
      client.send(query(text));
      const all = await client.untilReady();
      return all.flatMap(({ type, body }) => (type === 'd' ? [body.toString('hex')] : []));
    };
    const head = `${Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1').toString('hex')}${'00'.repeat(8)}`;
    const rows = 'copy (select g from generate_series(1, 2) g) to stdout (format binary)';
    expect(await messages(rows)).toEqual([
      `${head}00010000000400000001`,
      '00010000000400000002',
      'ffff',
    ]);
    const none = 'copy (select 1 where false) to stdout (format binary)';
    expect(await messages(none)).toEqual([`${head}ffff`]);
  });

  it.each([1, 7, 4096])('comes and goes in chunks of %i bytes', async (size) => {
    const chunks: Buffer[] = [];
    for (let at = 0; at < recorded.length; at += size)
      chunks.push(recorded.subarray(at, at + size));
    expect(await copyIn(...chunks)).toEqual(['G 01000500010001000100010001', 'C COPY 2', 'Z']);
    expect((await copyOut()).toString('hex')).toBe(recorded.toString('hex'));
    client.send(query('select * from t order by a'));
    const rows = (await client.untilReady()).filter(({ type }) => type === 'D');
    expect(rows.map(({ body }) => values(body))).toEqual([
      ['-2', '', 'x', '-0.001', null],
      ['1', 'ab', null, '1.5', 't'],
    ]);
  });

  const head = recorded.subarray(0, 19);
  const field = (hex: string): Buffer =>
    Buffer.from(`${(hex.length / 2).toString(16).padStart(8, '0')}${hex}`, 'hex');
  const row = (...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from('0005', 'hex'), ...parts]);
  const none = Buffer.from('ffffffff', 'hex');
  it.each([
    ['22P04 COPY file signature not recognized', [Buffer.from('hello')]],
    ['22P04 COPY file signature not recognized', [head.subarray(0, 9)]],
    ['22P04 unexpected EOF in COPY data', [recorded.subarray(0, 30)]],
    ['22P04 received copy data after EOF marker', [recorded, Buffer.of(1)]],
    ['22P04 row field count is 3, expected 5', [head, Buffer.from('0003', 'hex')]],
    ['22P04 invalid field size', [head, row(Buffer.from('fffffffe', 'hex'))]],
    [
      '54000 a row of COPY data has 67108864 bytes at most',
      [head, row(Buffer.from('7fffffff', 'hex'))],
    ],
    [
      '08P01 insufficient data left in message',
      [head, row(field('000001'), none, none, none, none)],
    ],
    [
      '22021 invalid byte sequence for encoding "UTF8": 0xff',
      [head, row(field('00000001'), field('ff'), none, none, none)],
    ],
    [
      '22P04 unrecognized critical flags in COPY file header',
      [head.subarray(0, 11), Buffer.from('8000000000000000', 'hex')],
    ],
  ])('is refused: %s', async (wrong, chunks) => {
    const answer = await copyIn(...chunks);
    expect(answer.find((one) => one.startsWith('E'))).toContain(`E ${wrong} / COPY t`);
    expect(answer.at(-1)).toBe('Z');
  });

  it('takes no options of the text format', async () => {
    for (const option of ["delimiter '|'", "null 'x'", 'header'])
      expect(await client.types(query(`copy t from stdin (format binary, ${option})`))).toBe('EZ');
  });
});
