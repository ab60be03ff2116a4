import { describe, expect, it } from 'vitest';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { type CopyTarget, copyRowsIn } from './copy-in.ts';

const column = (name: string) => ({
  ...{ name, typeOid: 23, typeLength: 4, typeModifier: -1, tableOid: 0, attributeNumber: 0 },
});

/** A table that notes what is inserted, and may refuse. */
function tableOf(names: readonly string[], refuse?: (values: readonly Datum[]) => void) {
  const inserted: { readonly values: readonly Datum[]; readonly rows: number }[] = [];
  const notUsed = (): never => {
    throw new Error('rows are values already');
  };
  const target: CopyTarget = {
    table: 'boats',
    columns: names.map(column),
    decode: notUsed,
    receive: notUsed,
    async insert(values, rows) {
      refuse?.(values);
      inserted.push({ values, rows });
    },
  };
  return { target, inserted };
}

async function* batches(...all: readonly (readonly (readonly Datum[])[])[]) {
  yield* all;
}

describe('rows that are values already', () => {
  it('are inserted in order, some hundred at once, whatever batches they come in', async () => {
    const { target, inserted } = tableOf(['a', 'b']);
    const rows = Array.from({ length: 600 }, (_, i) => [i, -i]);
    const source = batches(rows.slice(0, 1), [], rows.slice(1, 599), rows.slice(599));
    expect(await copyRowsIn(source, target)).toBe(600);
    expect(inserted.map((batch) => batch.rows)).toEqual([256, 256, 88]);
    expect(inserted.flatMap(({ values }) => values)).toEqual(rows.flat());
  });

  it('are none: nothing is inserted', async () => {
    const { target, inserted } = tableOf(['a']);
    expect(await copyRowsIn(batches([]), target)).toBe(0);
    expect(inserted).toEqual([]);
  });

  it('are refused with their place', async () => {
    const { target } = tableOf(['a', 'b']);
    await expect(copyRowsIn(batches([[1, 2]], [[3]]), target)).rejects.toMatchObject({
      code: '22P04',
      fields: { where: 'COPY boats, line 2' },
    });
    const { target: refusing } = tableOf(['a'], () => {
      throw new SqlError('23505', 'duplicate');
    });
    await expect(copyRowsIn(batches([[1], [2]]), refusing)).rejects.toMatchObject({
      code: '23505',
      fields: { where: 'COPY boats, lines 1 to 2' },
    });
  });
});
