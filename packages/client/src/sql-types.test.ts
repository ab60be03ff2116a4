/** Values on their way in and out, by a database of this process. */
import { DbError } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import type { Flotilla } from './flotilla.ts';
import type { SqlParameter } from './sql-values.ts';

let db: Flotilla;
beforeAll(async () => {
  db = await connect({ embedded: true });
  await db.sql`CREATE TYPE mood AS ENUM ('calm', 'rough')`;
});
afterAll(() => db.close());

/** What comes back of a value that a type was given. */
async function through(type: string, value: SqlParameter): Promise<unknown> {
  const { rows } = await db.sql.unsafe<{ v: unknown }>(`SELECT $1::${type} AS v`, [value]);
  return rows[0]?.v;
}

/** Bytes as they are printed, whatever class holds them. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  return value instanceof Uint8Array ? `bytes ${Buffer.from(value).toString('hex')}` : value;
}

describe('values', () => {
  const cases: readonly [type: string, value: SqlParameter, back: unknown][] = [
    ['int4', -5, -5],
    ['int4', '7', 7],
    ['int2', 7, 7],
    ['int8', 2n ** 62n, 2n ** 62n],
    ['int8', 12, 12n],
    ['float8', -0, -0],
    ['float8', Number.NaN, Number.NaN],
    ['float8', 0.1, 0.1],
    ['numeric(8,2)', 1.5, '1.50'],
    ['text', `a'"\\{},`, `a'"\\{},`],
    ['text', 5, '5'],
    ['varchar(3)', 'abcdef', 'abc'],
    ['bool', true, true],
    ['bytea', Uint8Array.of(0, 255, 92), Buffer.from([0, 255, 92])],
    ['date', '2026-02-03', '2026-02-03'],
    ['timestamp', '2026-02-03 04:05:06', '2026-02-03 04:05:06'],
    ['timestamptz', new Date(86_400_000), new Date(86_400_000)],
    ['uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001'],
    ['interval', '1 day', '1 day'],
    ['mood', 'rough', 'rough'],
    ['jsonb', { b: [1, null, 'x'], a: { c: true } }, { a: { c: true }, b: [1, null, 'x'] }],
    ['jsonb', [1, 'two', { three: 3 }], [1, 'two', { three: 3 }]],
    ['json', '"text"', 'text'],
    ['jsonb', 5, 5],
    ['int4[]', [1, null, 3], [1, null, 3]],
    ['int4[]', [], []],
    [
      'int8[]',
      [
        [1n, 2n],
        [3n, 4n],
      ],
      [
        [1n, 2n],
        [3n, 4n],
      ],
    ],
    ['text[]', ['a"b', 'c\\d', '', 'NULL', '{}', ','], ['a"b', 'c\\d', '', 'NULL', '{}', ',']],
    ['timestamptz[]', [new Date(0)], [new Date(0)]],
    ['bytea[]', [Uint8Array.of(1, 2)], [Buffer.from([1, 2])]],
    ['jsonb[]', [{ a: 1 }], [{ a: 1 }]],
    ['mood[]', ['calm'], ['calm']],
    ['text', null, null],
    ['int4[]', null, null],
  ];
  it.each(cases)('%s of %o', async (type, value, back) => {
    expect(plain(await through(type, value))).toEqual(plain(back));
  });

  it('are refused where they do not fit the type, with its SQLSTATE', async () => {
    await expect(through('int4', 2 ** 40)).rejects.toMatchObject({ code: '22003' });
    await expect(through('int4', 1.5)).rejects.toMatchObject({ code: '22P02' });
    await expect(through('int8', 2n ** 64n)).rejects.toMatchObject({ code: '22003' });
    await expect(through('int4[]', ['x'])).rejects.toMatchObject({ code: '22P02' });
    await expect(through('mood', 'wet')).rejects.toMatchObject({ code: '22P02' });
    await expect(through('text', 'a\0b')).rejects.toBeInstanceOf(SqlError);
    await expect(through('text', 'half \ud800')).rejects.toMatchObject({ code: '22021' });
    await expect(through('text[]', ['\udfff'])).rejects.toMatchObject({ code: '22021' });
    await expect(through('jsonb', { big: 1n })).rejects.toBeInstanceOf(DbError);
    const noParameter = new Map() as unknown as SqlParameter;
    await expect(through('jsonb', noParameter)).resolves.toEqual({});
    await expect(through('text', noParameter)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('come as the caller reads them, elements of arrays included', async () => {
    const parseType = (oid: number) => (oid === 1082 ? (text: string) => `<${text}>` : undefined);
    const { rows } = await db.sql.unsafe<{ d: unknown; a: unknown; n: unknown }>(
      `SELECT '2026-02-03'::date AS d, ARRAY['2026-02-04'::date, NULL] AS a, NULL::date AS n`,
      [],
      { parseType },
    );
    expect(rows).toEqual([{ d: '<2026-02-03>', a: ['<2026-02-04>', null], n: null }]);
  });

  it('come as arrays where asked for, columns of one name included', async () => {
    const { rows, columns } = await db.sql.unsafe<unknown[]>('SELECT 1 AS a, 2 AS a', [], {
      rowMode: 'arrays',
    });
    expect(rows).toEqual([[1, 2]]);
    expect(columns.map(({ name }) => name)).toEqual(['a', 'a']);
  });
});
