import { beforeEach, describe, expect, it } from 'vitest';
import { allRows, createHarness, type Harness } from './testing/harness.ts';

let harness: Harness;

beforeEach(async () => {
  harness = await createHarness();
});

async function prepare(sql: string, types: readonly number[] = []) {
  const [statement] = harness.session.parse(sql);
  if (statement === undefined) throw new Error('one statement');
  return harness.session.prepare(statement, types);
}

describe('parsing', () => {
  it('splits a text into statements', () => {
    const texts = (sql: string) => harness.session.parse(sql).map((one) => one.text);
    expect(texts('select 1; select 2 ;; -- no more\n')).toEqual(['select 1', 'select 2']);
    expect(texts("select 'é;' ; select 'ü'")).toEqual(["select 'é;'", "select 'ü'"]);
    expect(texts('')).toEqual([]);
    expect(texts(' -- nothing')).toEqual([]);
  });

  it('points at characters of the whole text', async () => {
    expect(() => harness.session.parse("select 'éé😀' x y")).toThrow(
      expect.objectContaining({ code: '42601', fields: { position: 16 } }),
    );
    const [, second] = harness.session.parse("select 'é😀'; select nosuch");
    if (second === undefined) throw new Error('two statements');
    await expect(harness.session.prepare(second, [])).rejects.toMatchObject({
      code: '42703',
      fields: { position: 21 },
    });
  });
});

describe('prepared statements', () => {
  beforeEach(async () => {
    await harness.query('create table t (id int primary key, name varchar(9), n int8, f float8)');
    await harness.query("insert into t values (1, 'one', 10, 0.5)");
  });

  it('infers parameter types from their use', async () => {
    const inferred = async (sql: string, types: readonly number[] = []) =>
      (await prepare(sql, types)).parameterTypes;
    expect(await inferred('select * from t where id = $1 and n > $2 and name = $3')).toEqual([
      23, 20, 25,
    ]);
    expect(await inferred('insert into t values ($1, $2, $3, $4)')).toEqual([23, 1043, 20, 701]);
    expect(await inferred('update t set name = $2 where id = $1')).toEqual([23, 1043]);
    expect(await inferred('select * from t limit $1 offset $2')).toEqual([20, 20]);
    expect(await inferred('select * from t where id = $1', [20])).toEqual([20]);
    expect(await inferred('select $1', [0])).toEqual([25]);
    expect(await inferred('select $1 + 1', [705])).toEqual([23]);
    expect(await inferred('select $1::timestamptz, $2 || $3')).toEqual([1184, 25, 25]);
  });

  it('describes columns', async () => {
    const { columns } = await prepare(
      'select id, name, n + 1 as m, count(*) from t group by 1, 2, 3',
    );
    const table = columns?.[0]?.tableOid ?? 0;
    expect(table).toBeGreaterThanOrEqual(16_384);
    expect(columns).toEqual([
      {
        name: 'id',
        typeOid: 23,
        typeLength: 4,
        typeModifier: -1,
        tableOid: table,
        attributeNumber: 1,
      },
      {
        name: 'name',
        typeOid: 1043,
        typeLength: -1,
        typeModifier: 13,
        tableOid: table,
        attributeNumber: 2,
      },
      { name: 'm', typeOid: 20, typeLength: 8, typeModifier: -1, tableOid: 0, attributeNumber: 0 },
      {
        name: 'count',
        typeOid: 20,
        typeLength: 8,
        typeModifier: -1,
        tableOid: 0,
        attributeNumber: 0,
      },
    ]);
    expect((await prepare('insert into t (id) values (1)')).columns).toBeUndefined();
    expect((await prepare('set timezone = utc')).columns).toBeUndefined();
  });

  it('finds the row by its key whatever integer type the parameter has', async () => {
    for (const [type, value] of [
      [21, 1],
      [23, 1],
      [20, 1n],
    ] as const) {
      const prepared = await prepare('select name from t where id = $1', [type]);
      const scans = harness.database.counts.scan;
      expect(await allRows(await harness.session.execute(prepared, [value]))).toEqual([['one']]);
      expect(harness.database.counts.scan).toBe(scans);
    }
  });

  it('takes what JavaScript has for a parameter, and refuses what does not fit', async () => {
    const prepared = await prepare('select $1::int, $2::int8, $3::float8, $4::bool, $5::numeric');
    const rows = await allRows(await harness.session.execute(prepared, ['7', 8, 9n, true, 1.5]));
    expect(rows).toEqual([[7, 8n, 9, true, '1.5']]);
    const run = (values: readonly (string | number | bigint | boolean | null)[]) =>
      harness.session.execute(prepared, values);
    await expect(run([1.5, 8n, 9, true, '1'])).rejects.toMatchObject({ code: '22P02' });
    await expect(run([2 ** 40, 8n, 9, true, '1'])).rejects.toMatchObject({ code: '22003' });
    await expect(run([true, 8n, 9, true, '1'])).rejects.toMatchObject({ code: '42804' });
    await expect(run([1])).rejects.toMatchObject({ code: '08P01' });
  });

  it('refuses parameter types that are not built', async () => {
    await expect(prepare('select $1', [790])).rejects.toMatchObject({ code: '0A000' });
    await expect(prepare('select $1', [999_999])).rejects.toMatchObject({ code: '0A000' });
    await expect(prepare('select $1 is null')).rejects.toMatchObject({ code: '42P18' });
    await expect(prepare('select $2::int')).rejects.toMatchObject({ code: '42P18' });
    await expect(prepare('select $1::int, $1 || $1')).rejects.toMatchObject({ code: '42883' });
    await expect(prepare('select $1 + $1')).rejects.toMatchObject({ code: '42725' });
  });

  it('does not keep the moment of preparation in a plan', async () => {
    const prepared = await prepare('select now()');
    const first = await allRows(await harness.session.execute(prepared, []));
    await new Promise((resolve) => setTimeout(resolve, 3));
    const second = await allRows(await harness.session.execute(prepared, []));
    expect(second).not.toEqual(first);
  });

  it('binds literals in the time zone of each session', async () => {
    const sql = "select '2020-01-01 00:00'::timestamptz";
    const utc = await harness.query(sql);
    await harness.query("set timezone = 'Asia/Tokyo'");
    const tokyo = await harness.query(sql);
    expect(Number(tokyo[0]?.[0]) - Number(utc[0]?.[0])).toBe(-9 * 3_600_000_000);
    await harness.query('reset timezone');
    expect(await harness.query(sql)).toEqual(utc);
  });
});

describe('settings', () => {
  it('tells clients of changes, once each', async () => {
    await harness.query("set application_name = 'psql'; set application_name = 'psql'");
    await harness.query("set timezone = 'Europe/Paris'; set work_mem = '8MB'; reset all");
    expect(harness.statuses).toEqual([
      ['application_name', 'psql'],
      ['TimeZone', 'Europe/Paris'],
      ['application_name', ''],
      ['TimeZone', 'UTC'],
    ]);
  });

  it('changes nothing when a value is refused', async () => {
    await expect(harness.query("set timezone = 'Nowhere'")).rejects.toMatchObject({
      code: '22023',
    });
    await expect(harness.query('set extra_float_digits = 9')).rejects.toMatchObject({
      code: '22023',
    });
    expect(harness.session.setting('timezone')).toBe('UTC');
    expect(harness.session.setting('extra_float_digits')).toBe('1');
    expect(harness.statuses).toEqual([]);
  });

  it('keeps sessions apart', async () => {
    const other = harness.engine.createSession({
      user: 'bob',
      database: 'main',
      applicationName: 'app',
    });
    await harness.query("set timezone = 'Europe/Paris'");
    expect(other.setting('TimeZone')).toBe('UTC');
    expect(other.setting('application_name')).toBe('app');
    expect(other.setting('session_authorization')).toBe('bob');
    expect(other.setting('nosuch')).toBeUndefined();
  });
});

it('gives rows without a primary key ids that rise, across statements and engines', async () => {
  await harness.query('create table h (a int)');
  for (let i = 0; i < 20; i++) await harness.query(`insert into h values (${i}), (${i + 100})`);
  const rows = await harness.query('select a from h');
  expect(rows).toHaveLength(40);
  expect(new Set(rows.map(([a]) => a)).size).toBe(40);
  expect(rows[0]).toEqual([0]);
});
