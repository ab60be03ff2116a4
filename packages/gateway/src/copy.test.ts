/** COPY over the wire: both protocols, both directions, and what goes wrong on the way. */
import { spawn } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  bind,
  cancelRequest,
  execute,
  fields,
  message,
  parse,
  query,
  RawClient,
  sync,
  values,
} from './testing/raw-client.ts';
import { startSqlGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

let world: TestGateway;
let client: RawClient;

beforeEach(async () => {
  world = await startSqlGateway();
  ({ client } = await RawClient.ready(world.gateway.port));
  await client.types(query('create table t (id int primary key, v varchar(5))'));
});

afterEach(async () => {
  client.destroy();
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
  expect(world.logs.filter(({ event }) => event === 'gateway_internal_error')).toEqual([]);
});

const data = (text: string): Buffer => message('d', Buffer.from(text));
const done = message('c');

async function hear(...parts: Buffer[]): Promise<string[]> {
  client.send(...parts);
  return (await client.untilReady()).map(({ type, body }) => {
    if (type === 'E') {
      const { C, M, W } = fields(body);
      return `E ${C} ${M} / ${W ?? ''}`;
    }
    if (type === 'd') return `d ${JSON.stringify(body.toString())}`;
    if (type === 'D')
      return `D ${values(body)
        .map((value) => value ?? '∅')
        .join('|')}`;
    return type === 'C' ? `C ${body.toString().slice(0, -1)}` : type;
  });
}

const rows = async (): Promise<string[]> =>
  (await hear(query('select id, v from t order by id'))).filter((line) => line.startsWith('D'));

describe('COPY FROM STDIN', () => {
  test('rows in chunks that end anywhere, with what text escapes', async () => {
    const text = '1\ta\\tb\n2\t\\N\n3\t\\\\\\n\n4\t\\303\\274\n5\tü';
    const bytes = [...Buffer.from(text)].map((byte) => message('d', Buffer.of(byte)));
    expect(await hear(query('copy t from stdin'), ...bytes, done)).toEqual(['G', 'C COPY 5', 'Z']);
    expect(await rows()).toEqual(['D 1|a\tb', 'D 2|∅', 'D 3|\\\n', 'D 4|ü', 'D 5|ü']);
  });

  test('CSV: quotes, NULL and the empty string, newlines, a header', async () => {
    const text = 'v,id\n"a""b",1\n,2\n"",3\n"x\ny",4\n\\.\nnonsense';
    const copy = query('copy t (v, id) from stdin (format csv, header match)');
    expect(await hear(copy, data(text), done)).toEqual(['G', 'C COPY 4', 'Z']);
    expect(await rows()).toEqual(['D 1|a"b', 'D 2|∅', 'D 3|', 'D 4|x\ny']);
  });

  test('more rows than a batch, in the extended protocol, where Sync means nothing until the end', async () => {
    const text = Array.from({ length: 1_000 }, (_, id) => `${id}\tv${id}\n`).join('');
    const start = Buffer.concat([parse('copy t from stdin'), bind(), execute(), sync]);
    expect(await hear(start, data(text), done, sync)).toEqual(['1', '2', 'G', 'C COPY 1000', 'Z']);
    expect((await hear(query('select count(*) from t')))[1]).toBe('D 1000');
  });

  test('a portal that has copied does not copy again, and what comes next is answered at once', async () => {
    const start = Buffer.concat([parse('copy t from stdin'), bind(), execute()]);
    const again = Buffer.concat([execute(), sync, query('select 1')]);
    client.send(start, data('1\ta\n'), done, again);
    const said = [...(await client.untilReady()), ...(await client.untilReady())];
    expect(said.map(({ type }) => type).join('')).toBe('12GCEZTDCZ');
    expect(await hear(query('copy t from stdin'), data('2\tb\n'), done)).toEqual([
      ...['G', 'C COPY 1', 'Z'],
    ]);
  });

  test.each([
    ['1\n', '22P04 missing data for column "v" / COPY t, line 1: "1"'],
    ['1\ta\tb\n', '22P04 extra data after last expected column / COPY t, line 1: "1\ta\tb"'],
    [
      '1\ta\nx\tb\n',
      '22P02 invalid input syntax for type integer: "x" / COPY t, line 2, column id: "x"',
    ],
    [
      '1\ta\n2\ttoolong\n',
      '22001 value too long for type character varying(5) / COPY t, lines 1 to 3',
    ],
  ])('%j fails where it fails, and nothing of it stays', async (text, error) => {
    expect(await hear(query('copy t from stdin'), data(text), data('9\tz\n'), done)).toEqual([
      'G',
      `E ${error}`,
      'Z',
    ]);
    expect(await rows()).toEqual([]);
  });

  test('of which a later batch fails leaves nothing behind', async () => {
    const text = Array.from({ length: 600 }, (_, id) => `${id % 599}\tv\n`).join('');
    const [, error] = await hear(query('copy t from stdin'), data(text), done);
    expect(error).toMatch(/^E 23505 /);
    expect(await rows()).toEqual([]);
  });

  test('CopyFail, in both protocols', async () => {
    const fail = message('f', Buffer.from('had enough\0'));
    const error = 'E 57014 COPY from stdin failed: had enough / COPY t, line 1';
    const later = error.replace('line 1', 'line 2');
    expect(await hear(query('copy t from stdin'), data('1\ta\n'), fail)).toEqual(['G', later, 'Z']);
    const start = Buffer.concat([parse('copy t from stdin'), bind(), execute()]);
    expect(await hear(start, fail, sync)).toEqual(['1', '2', 'G', error, 'Z']);
    expect(await rows()).toEqual([]);
  });

  test('in a block, and several in one query', async () => {
    await hear(query('begin'));
    expect(await hear(query('copy t from stdin'), data('1\ta\n'), done)).toContain('C COPY 1');
    await hear(query('rollback'));
    const two = query('copy t from stdin; copy t from stdin');
    expect(await hear(two, data('1\ta\n'), done, data('2\tb\n'), done)).toEqual([
      ...['G', 'C COPY 1', 'G', 'C COPY 1', 'Z'],
    ]);
    expect(await rows()).toEqual(['D 1|a', 'D 2|b']);
  });

  test('any other message ends the connection', async () => {
    client.send(query('copy t from stdin'), query('select 1'));
    const last = (await client.untilEnd()).find(({ type }) => type === 'E');
    expect(fields(last?.body ?? Buffer.alloc(0))).toMatchObject({ S: 'FATAL', C: '08P01' });
  });

  test.each(['simple', 'extended'])(
    'a cancel request ends one that waits (%s)',
    async (protocol) => {
      const { client: other, greeting } = await RawClient.ready(world.gateway.port);
      const key = greeting.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8);
      const text = 'copy t from stdin';
      other.send(
        protocol === 'simple' ? query(text) : Buffer.concat([parse(text), bind(), execute()]),
      );
      for (let next = await other.next(); next?.type !== 'G'; next = await other.next());
      const canceller = await RawClient.connect(world.gateway.port);
      canceller.send(cancelRequest(key.readInt32BE(0), key.subarray(4)));
      const error = await other.next(); // without any further message
      expect(fields(error?.body ?? Buffer.alloc(0)).C).toBe('57014');
      if (protocol === 'extended') other.send(data('1\ta\n'), done, sync);
      expect((await other.untilReady()).map(({ type }) => type)).toEqual(['Z']);
      canceller.destroy();
      other.destroy();
      expect(await rows()).toEqual([]);
    },
  );

  test('a client that vanishes lets go of what it had written', async () => {
    client.send(
      query('copy t from stdin'),
      data(Array.from({ length: 300 }, (_, id) => `${id}\ta\n`).join('')),
    );
    expect((await client.next())?.type).toBe('G');
    client.socket.resetAndDestroy();
    ({ client } = await RawClient.ready(world.gateway.port));
    expect(await hear(query("insert into t values (1, 'b')"))).toContain('C INSERT 0 1');
    expect(await rows()).toEqual(['D 1|b']);
  });
});

describe('COPY TO STDOUT', () => {
  test('tables and queries, as text and as CSV', async () => {
    await hear(
      query(String.raw`insert into t values (1, e'a\tb'), (2, null), (3, ''), (4, 'x"y')`),
    );
    expect(await hear(query('copy t to stdout'))).toEqual([
      ...['H', 'd "1\\ta\\\\tb\\n"', 'd "2\\t\\\\N\\n"', 'd "3\\t\\n"', 'd "4\\tx\\"y\\n"'],
      ...['c', 'C COPY 4', 'Z'],
    ]);
    const csv =
      'copy (select v, id from t where id > 1 order by id) to stdout (format csv, header)';
    expect(await hear(parse(csv), bind(), execute(), sync)).toEqual([
      ...['1', '2', 'H', 'd "v,id\\n"', 'd ",2\\n"', 'd "\\"\\",3\\n"', 'd "\\"x\\"\\"y\\",4\\n"'],
      ...['c', 'C COPY 3', 'Z'],
    ]);
  });
});

test('psql: \\copy there and back', async () => {
  const args = ['-X', '-q', '-h', '127.0.0.1', '-p', String(world.gateway.port), '-U', 'alice'];
  const psql = spawn('psql', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  psql.stdin.end('copy t from stdin;\n1\tx\n2\ty\n\\.\n\\copy t to stdout csv\n');
  let heard = '';
  for (const stream of [psql.stdout, psql.stderr])
    stream.on('data', (chunk: Buffer) => {
      heard += chunk.toString();
    });
  await new Promise((resolve) => psql.on('close', resolve));
  expect(heard).toBe('1,x\n2,y\n');
});
