/** What goes in comes out: texts, arrays and JSON of any content, by a database of this process. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import type { Flotilla } from './flotilla.ts';
import type { SqlParameter } from './sql-values.ts';

let db: Flotilla;
beforeAll(async () => {
  db = await connect({ embedded: true });
});
afterAll(() => db.close());

async function through(type: string, value: SqlParameter): Promise<unknown> {
  const { rows } = await db.sql.unsafe<{ v: unknown }>(`SELECT $1::${type} AS v`, [value]);
  return rows[0]?.v;
}

/** What PostgreSQL has as text: any but NUL. */
const text = fc
  .string({ unit: 'grapheme', maxLength: 20 })
  .map((each) => each.replaceAll('\0', ''));
const int8 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const runs = { numRuns: 60 };

describe('what goes in comes out', () => {
  it('as text[]', async () => {
    const special = fc.constantFrom('', 'NULL', '"', '\\', '{', '}', ',', ' ', '\n', 'null');
    const elements = fc.array(fc.option(fc.oneof(text, special)), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(elements, async (array) => {
        expect(await through('text[]', array)).toEqual(array);
      }),
      runs,
    );
  });

  it('as int8[][], every row of one length', async () => {
    const matrix = fc.integer({ min: 1, max: 4 }).chain((length) =>
      fc.array(fc.array(int8, { minLength: length, maxLength: length }), {
        minLength: 1,
        maxLength: 4,
      }),
    );
    await fc.assert(
      fc.asyncProperty(matrix, async (rows) => {
        expect(await through('int8[]', rows)).toEqual(rows);
      }),
      runs,
    );
  });

  it('as jsonb', async () => {
    // A double that JSON prints is the same double again; -0 is 0 to JSON.
    const json = fc
      .dictionary(text, fc.jsonValue({ maxDepth: 3, noUnicodeString: false }))
      .map((value) => JSON.parse(JSON.stringify(value).replaceAll('\\u0000', '')) as object);
    await fc.assert(
      fc.asyncProperty(json, async (value) => {
        expect(await through('jsonb', value)).toEqual(value);
      }),
      runs,
    );
  });

  it('as bytea and float8', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), fc.double(), async (bytes, number) => {
        expect([...((await through('bytea', bytes)) as Uint8Array)]).toEqual([...bytes]);
        expect(await through('float8', number)).toBe(number);
      }),
      runs,
    );
  });
});
