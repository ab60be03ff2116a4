import { DbError } from '@flotilla/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { Datum } from '../session-api.ts';
import {
  boolType,
  float8Type,
  int2Type,
  int4Type,
  int8Type,
  textType,
  timestamptzType,
  varcharType,
} from '../types/type.ts';
import { idOfStorage, storageIdIn, TableStore, tableKeyPrefix } from './table-store.ts';

const types = [
  int2Type,
  int4Type,
  int8Type,
  float8Type,
  textType,
  varcharType,
  boolType,
  timestamptzType,
];

function table(keyColumns: readonly number[]): TableDescriptor {
  return {
    kind: 'table',
    id: 16_389,
    storageId: 16_389,
    schema: 'public',
    name: 't',
    owner: 'ann',
    version: 1,
    comments: {},
    dropped: [],
    indexes: [],
    checks: [],
    foreignKeys: [],
    ranges: undefined,
    columns: types.map((type, i) => ({
      name: `c${i}`,
      attributeNumber: i + 1,
      type,
      modifier: -1,
      notNull: keyColumns.includes(i),
      default: undefined,
    })),
    primaryKey:
      keyColumns.length === 0
        ? undefined
        : { constraint: 't_pkey', columns: keyColumns, indexOid: 16_390, constraintOid: 16_391 },
  };
}

const int64 = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.bigInt({ min: -70_000n, max: 70_000n }),
  fc.constantFrom(2n ** 52n, -(2n ** 52n), 2n ** 53n, 2n ** 52n - 1n, 2n ** 63n - 1n, -(2n ** 63n)),
);
const values: readonly fc.Arbitrary<Datum>[] = [
  fc.integer({ min: -32_768, max: 32_767 }),
  fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
  int64,
  fc.oneof(fc.double(), fc.constantFrom(-0, Number.NaN, Infinity)),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 10 }),
  fc.boolean(),
  int64,
];
const row = fc.tuple(...values.map((value) => fc.option(value, { freq: 4 })));
const fullRow = fc.tuple(...values);
const all = types.map(() => true);

describe('row codec', () => {
  it('reads back every row of a table without a key', () => {
    const store = new TableStore(table([]));
    fc.assert(
      fc.property(row, (columns) => {
        const key = store.hiddenKey(5n);
        expect(store.decodeRow(key, store.codec.encode(columns), all)).toEqual(columns);
      }),
      { numRuns: 500 },
    );
  });

  it('reads back rows whose key holds some of the columns, in any order', () => {
    const choice = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 1 });
    fc.assert(
      fc.property(choice, fullRow, (keyColumns, columns) => {
        const store = new TableStore(table(keyColumns));
        const decoded = store.decodeRow(store.rowKey(columns), store.codec.encode(columns), all);
        expect(decoded).toEqual(columns);
      }),
      { numRuns: 300 },
    );
  });

  it('leaves out what is not needed and gets the rest right', () => {
    const store = new TableStore(table([1]));
    const need = fc.tuple(...types.map(() => fc.boolean()));
    fc.assert(
      fc.property(row, fc.integer(), need, (columns, id, needed) => {
        const whole = columns.map((value, i) => (i === 1 ? id : value));
        const decoded = store.decodeRow(store.rowKey(whole), store.codec.encode(whole), needed);
        for (let i = 0; i < types.length; i++)
          if (needed[i] === true) expect(decoded[i]).toEqual(whole[i]);
      }),
      { numRuns: 300 },
    );
  });

  it('pins the format', () => {
    const store = new TableStore(table([1]));
    const value = store.codec.encode([-1, 7, 300n, 1.5, 'é', null, true, 1n]);
    expect(Buffer.from(value).toString('hex')).toBe(
      '01' +
        '07' +
        '10' +
        '01' +
        'd804' +
        '000000000000f83f' +
        '02c3a9' +
        '01' +
        '0100000000000000',
    );
    const key = store.rowKey([0, 7, 0n, 0, '', '', false, 0n]);
    expect(Buffer.from(key).toString('hex')).toBe(`10${'a0004005'}${'80'}${'87'}`);
  });

  it('refuses cut, foreign and newer bytes', () => {
    const store = new TableStore(table([]));
    const value = store.codec.encode([1, 2, 3n, 4, 'five', 'six', true, 8n]);
    const read = (bytes: Uint8Array) => () => store.decodeRow(store.hiddenKey(1n), bytes, all);
    for (let length = 0; length < value.length; length++)
      expect(read(value.subarray(0, length)), `cut to ${length}`).toThrow(DbError);
    expect(read(Uint8Array.of(2, ...value.subarray(1)))).toThrow(DbError);
    expect(read(Uint8Array.of(1, 9, ...value.subarray(2)))).toThrow(DbError);
  });
});

describe('the table space', () => {
  const keyOf = (storageId: number): string =>
    Buffer.from(tableKeyPrefix(storageId)).toString('hex');
  const sliceOf = (storageId: number): number => (tableKeyPrefix(storageId)[1] ?? 0) >> 5;

  it('holds the tables of a database side by side, in the order of their ids', () => {
    const keys = Array.from({ length: 100 }, (_, i) => keyOf(storageIdIn(16_383, 16_384 + i)));
    expect(keys).toEqual([...keys].sort());
    expect(new Set(keys).size).toBe(100);
    expect(new Set(keys.map((key) => key.slice(0, 4))).size).toBe(1);
  });

  it('deals databases over its slices', () => {
    const slices = Array.from({ length: 7 }, (_, i) => sliceOf(storageIdIn(16_384 + i, 20_000)));
    expect([...slices].sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('knows what lies in a slice by the id that it has in the catalog', () => {
    expect(idOfStorage(storageIdIn(16_389, 20_001))).toBe(20_001);
    expect(() => storageIdIn(16_389, 2 ** 29)).toThrow('an id is left');
  });

  it('still finds tables that were dealt over the slices one by one', () => {
    const ids = Array.from({ length: 8 }, (_, i) => 16_384 + i);
    expect(ids.map(sliceOf)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(ids.map(idOfStorage)).toEqual(ids);
  });
});
