import { DbError } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BulkRow } from './bulk-insert.ts';
import { connect } from './connect.ts';
import type { Flotilla } from './flotilla.ts';

let db: Flotilla;
beforeAll(async () => {
  db = await connect({ embedded: true });
});
afterAll(() => db.close());
beforeEach(async () => {
  await db.sql`DROP TABLE IF EXISTS boats`;
  await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text DEFAULT 'none', tags text[])`;
});

async function* boats(from: number, to: number): AsyncGenerator<BulkRow, void, undefined> {
  for (let id = from; id <= to; id++) yield { id, name: `boat ${id}`, tags: ['a', `${id}`] };
}

async function count(): Promise<bigint> {
  const { rows } = await db.sql<{ c: bigint }>`SELECT count(*) AS c FROM boats`;
  return rows[0]?.c ?? -1n;
}

describe('bulk insert', () => {
  it('takes rows by name, in one transaction, and says how many', async () => {
    const result = await db.bulkInsert('boats', boats(1, 1000));
    expect(result).toEqual({ rows: 1000, transactions: 1, retries: 0 });
    expect((await db.sql`SELECT * FROM boats WHERE id = ${777}`).rows).toEqual([
      { id: 777, name: 'boat 777', tags: ['a', '777'] },
    ]);
  });

  it('takes rows as arrays, of some columns; defaults fill the others, NULL what is missing', async () => {
    await db.bulkInsert(['public', 'boats'], [[1], [2]], { columns: ['id'] });
    await db.bulkInsert('boats', [{ name: 'x', id: 3 }, { id: 4 }]);
    await db.bulkInsert('boats', [[5, null, []]]);
    expect((await db.sql`SELECT * FROM boats ORDER BY id`).rows).toEqual([
      { id: 1, name: 'none', tags: null },
      { id: 2, name: 'none', tags: null },
      { id: 3, name: 'x', tags: null },
      { id: 4, name: null, tags: null },
      { id: 5, name: null, tags: [] },
    ]);
    expect(await db.bulkInsert('boats', [])).toEqual({ rows: 0, transactions: 0, retries: 0 });
  });

  it('inserts all or nothing, and says which row was wrong', async () => {
    const rows: BulkRow[] = [{ id: 1 }, { id: 2 }, { id: 1 }];
    await expect(db.bulkInsert('boats', rows)).rejects.toMatchObject({ code: '23505' });
    const wrong = db.bulkInsert('boats', [{ id: 1 }, { id: 'two' }]);
    await expect(wrong).rejects.toMatchObject({
      code: '22P02',
      fields: { where: 'row 2, column id' },
    });
    expect(await count()).toBe(0n);
  });

  it('ends the source, and throws what it throws', async () => {
    const mine = new Error('no more fish');
    let ended = false;
    const failing = async function* (): AsyncGenerator<BulkRow, void, undefined> {
      try {
        yield* boats(1, 600);
        throw mine;
      } finally {
        ended = true;
      }
    };
    await expect(db.bulkInsert('boats', failing())).rejects.toBe(mine);
    expect([ended, await count()]).toEqual([true, 0n]);
    ended = false;
    const duplicate = async function* (): AsyncGenerator<BulkRow, void, undefined> {
      try {
        yield* boats(1, 300);
        yield* boats(1, 3000);
      } finally {
        ended = true;
      }
    };
    await expect(db.bulkInsert('boats', duplicate())).rejects.toBeInstanceOf(SqlError);
    expect([ended, await count()]).toEqual([true, 0n]);
  });

  it('commits in several transactions where asked, and keeps those before a failure', async () => {
    const committed: number[] = [];
    const options = {
      transactions: 'many',
      rowsPerTransaction: 400,
      onCommitted: (rows: number) => committed.push(rows),
    } as const;
    expect(await db.bulkInsert('boats', boats(1, 1000), options)).toEqual({
      ...{ rows: 1000, transactions: 3, retries: 0 },
    });
    expect(committed).toEqual([400, 800, 1000]);
    const more = async function* (): AsyncGenerator<BulkRow, void, undefined> {
      yield* boats(1001, 1500);
      yield* boats(1, 1);
    };
    await expect(db.bulkInsert('boats', more(), options)).rejects.toMatchObject({ code: '23505' });
    expect(await count()).toBe(1400n);
  });

  it('runs a transaction again when another was in its way', async () => {
    await db.bulkInsert('boats', boats(1, 1));
    const options = { transactions: 'many', rowsPerTransaction: 50 } as const;
    const [one, other] = await Promise.all([
      db.bulkInsert('boats', boats(100, 400), options),
      db.bulkInsert('boats', boats(500, 800), options),
    ]);
    expect(one.rows + other.rows).toBe(602);
    expect(await count()).toBe(603n);
  });

  it('is a part of the transaction that it is in', async () => {
    const undone = db.transaction(async (transaction) => {
      await transaction.bulkInsert('boats', boats(1, 500));
      const { rows } = await transaction.sql`SELECT count(*) AS c FROM boats`;
      expect(rows).toEqual([{ c: 500n }]);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(await count()).toBe(0n);
    const connection = db.openConnection();
    await connection.bulkInsert('boats', boats(1, 2));
    await connection.close();
    expect(await count()).toBe(2n);
  });

  it('refuses misuse', async () => {
    const refused = [
      db.bulkInsert('boats', [{ id: 1, colour: 'red' }], { columns: ['id'] }),
      db.bulkInsert('boats', [[1, 'x']], { columns: ['id'] }),
      db.bulkInsert('boats', [[1]], { transactions: 'many', rowsPerTransaction: 0 }),
    ];
    for (const one of refused) await expect(one).rejects.toBeInstanceOf(DbError);
    await expect(db.bulkInsert('ships', [[1]])).rejects.toMatchObject({ code: '42P01' });
    await expect(db.bulkInsert('boats', [{ colour: 1 }])).rejects.toMatchObject({ code: '42703' });
    await expect(
      db.bulkInsert('boats', boats(1, 10), { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ code: '57014' });
    expect(await count()).toBe(0n);
  });
});
