/** Kysely over a database of this process. */
import { connect, type Flotilla, SqlError } from '@flotilla/client';
import { type Generated, Kysely, sql } from 'kysely';
import { jsonArrayFrom } from 'kysely/helpers/postgres';
import { Migrator } from 'kysely/migration';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FlotillaDialect } from './index.ts';

interface Database {
  people: { id: Generated<number>; name: string; age: number | null; born: Date | null };
  pets: { id: Generated<bigint>; owner: number; name: string; facts: unknown };
}

let client: Flotilla;
let db: Kysely<Database>;

beforeAll(async () => {
  client = await connect({ embedded: true });
  db = new Kysely<Database>({ dialect: new FlotillaDialect({ client }) });
  await db.schema
    .createTable('people')
    .addColumn('id', 'serial', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .addColumn('age', 'integer')
    .addColumn('born', 'timestamptz')
    .execute();
  await db.schema
    .createTable('pets')
    .addColumn('id', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity())
    .addColumn('owner', 'integer', (column) => column.references('people.id').notNull())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('facts', 'jsonb')
    .execute();
});
afterAll(async () => {
  await db.destroy();
  await client.close();
});
beforeEach(async () => {
  await db.deleteFrom('pets').execute();
  await db.deleteFrom('people').execute();
});

async function add(name: string, age: number | null = null): Promise<number> {
  const values = { name, age, born: null };
  const { id } = await db
    .insertInto('people')
    .values(values)
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

async function sqlstate(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof SqlError ? error.code : String(error)),
  );
}

describe('queries', () => {
  it('insert, select, update, upsert, delete, and say how many rows', async () => {
    const born = new Date('1985-12-10T00:00:00Z');
    const inserted = await db
      .insertInto('people')
      .values([
        { name: 'ann', age: 3, born },
        { name: 'bob', age: null, born: null },
      ])
      .executeTakeFirst();
    expect(inserted.numInsertedOrUpdatedRows).toBe(2n);
    expect(
      await db.selectFrom('people').select(['name', 'age', 'born']).orderBy('name').execute(),
    ).toEqual([
      { name: 'ann', age: 3, born },
      { name: 'bob', age: null, born: null },
    ]);
    const updated = await db
      .updateTable('people')
      .set({ age: 4 })
      .where('name', '=', 'ann')
      .executeTakeFirst();
    expect(updated.numUpdatedRows).toBe(1n);
    await db
      .insertInto('people')
      .values({ name: 'ann', age: 9, born: null })
      .onConflict((conflict) =>
        conflict.column('name').doUpdateSet((eb) => ({ age: eb.ref('excluded.age') })),
      )
      .execute();
    const { age } = await db
      .selectFrom('people')
      .select('age')
      .where('name', '=', 'ann')
      .executeTakeFirstOrThrow();
    expect(age).toBe(9);
    const deleted = await db.deleteFrom('people').executeTakeFirst();
    expect(deleted.numDeletedRows).toBe(2n);
  });

  it('join, count, and take relations as JSON', async () => {
    const [ann, bob] = [await add('ann'), await add('bob')];
    await db
      .insertInto('pets')
      .values([
        { owner: ann, name: 'tom', facts: { kind: 'cat', lives: 9 } },
        { owner: ann, name: 'rex', facts: null },
      ])
      .execute();
    const joined = await db
      .selectFrom('people')
      .leftJoin('pets', 'pets.owner', 'people.id')
      .select(({ fn }) => ['people.name', fn.count('pets.id').as('pets')])
      .groupBy('people.name')
      .orderBy('people.name')
      .execute();
    expect(joined).toEqual([
      { name: 'ann', pets: 2n },
      { name: 'bob', pets: 0n },
    ]);
    const nested = await db
      .selectFrom('people')
      .select((eb) => [
        'id',
        jsonArrayFrom(
          eb
            .selectFrom('pets')
            .select(['pets.name', 'pets.facts'])
            .whereRef('pets.owner', '=', 'people.id')
            .orderBy('pets.name'),
        ).as('pets'),
      ])
      .orderBy('id')
      .execute();
    expect(nested).toEqual([
      {
        id: ann,
        pets: [
          { name: 'rex', facts: null },
          { name: 'tom', facts: { kind: 'cat', lives: 9 } },
        ],
      },
      { id: bob, pets: [] },
    ]);
  });

  it('fail with the SQLSTATE', async () => {
    await add('ann');
    expect(await sqlstate(add('ann'))).toBe('23505');
    const orphan = db.insertInto('pets').values({ owner: -1, name: 'stray', facts: null });
    expect(await sqlstate(orphan.execute())).toBe('23503');
    expect(await sqlstate(sql`SELECT * FROM nowhere`.execute(db))).toBe('42P01');
    expect(
      await sqlstate(db.selectFrom('people').selectAll().where(sql`1 / 0`, '=', 1).execute()),
    ).toBe('22012');
  });
});

describe('transactions', () => {
  it('commit, and roll back with their error', async () => {
    await db.transaction().execute(async (tx) => {
      await tx.insertInto('people').values({ name: 'ann', age: 1, born: null }).execute();
    });
    const undone = db
      .transaction()
      .setIsolationLevel('serializable')
      .execute(async (tx) => {
        await tx.deleteFrom('people').execute();
        throw new Error('undone');
      });
    await expect(undone).rejects.toThrow('undone');
    expect(await db.selectFrom('people').select('name').execute()).toEqual([{ name: 'ann' }]);
  });

  it('have savepoints, and an access mode', async () => {
    const begun = await db.startTransaction().execute();
    const saved = await begun.savepoint('before "it"').execute();
    await saved.insertInto('people').values({ name: 'lost', age: 1, born: null }).execute();
    const back = await saved.rollbackToSavepoint('before "it"').execute();
    await back.insertInto('people').values({ name: 'kept', age: 1, born: null }).execute();
    await back.commit().execute();
    expect(await db.selectFrom('people').select('name').execute()).toEqual([{ name: 'kept' }]);
    const reading = db
      .transaction()
      .setAccessMode('read only')
      .execute((tx) => tx.deleteFrom('people').execute());
    expect(await sqlstate(reading)).toBe('25006');
  });

  it('say so when a COMMIT has rolled back', async () => {
    const begun = await db.startTransaction().execute();
    await begun.insertInto('people').values({ name: 'lost', age: 1, born: null }).execute();
    expect(await sqlstate(sql`SELECT 1 / 0`.execute(begun))).toBe('22012');
    await expect(begun.commit().execute()).rejects.toMatchObject({
      name: 'AbortedTransactionError',
    });
    expect(await db.selectFrom('people').selectAll().execute()).toEqual([]);
  });
});

describe('streams', () => {
  it('give rows as they come, and end with their reader', async () => {
    await client.bulkInsert(
      'people',
      Array.from({ length: 1000 }, (_, i) => [`p${i}`, i] as const),
      { columns: ['name', 'age'] },
    );
    const ages: (number | null)[] = [];
    for await (const { age } of db.selectFrom('people').select('age').orderBy('age').stream(100))
      ages.push(age);
    expect(ages).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    for await (const { age } of db.selectFrom('people').select('age').orderBy('age').stream())
      if (age === 5) break;
    const failing = async (): Promise<void> => {
      const query = db.selectFrom('people').select(sql<number>`1 / (age - 500)`.as('x'));
      for await (const _ of query.stream());
    };
    expect(await sqlstate(failing())).toBe('22012');
  });

  it('stop at the caller’s signal', async () => {
    await add('ann');
    const controller = new AbortController();
    const { signal } = controller;
    const sleeping = sql`SELECT pg_sleep(600)`.compile(db);
    const query = db.executeQuery(sleeping, { signal, inflightQueryAbortStrategy: 'cancel query' });
    controller.abort(new Error('enough'));
    await expect(query).rejects.toThrow('enough');
  });
});

describe('the schema', () => {
  it('is introspected, and migrated', async () => {
    const tables = await db.introspection.getTables();
    const people = tables.find(({ name }) => name === 'people');
    expect(people?.columns.map(({ name, dataType }) => [name, dataType])).toEqual([
      ['id', 'int4'],
      ['name', 'text'],
      ['age', 'int4'],
      ['born', 'timestamptz'],
    ]);
    const migrations = {
      first: {
        up: async (to: Kysely<unknown>) => {
          await to.schema.createTable('harbours').addColumn('id', 'integer').execute();
        },
        down: async (to: Kysely<unknown>) => {
          await to.schema.dropTable('harbours').execute();
        },
      },
    };
    const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
    const up = await migrator.migrateToLatest();
    expect([up.error, up.results?.map(({ status }) => status)]).toEqual([undefined, ['Success']]);
    expect((await migrator.migrateToLatest()).results).toEqual([]);
    expect((await migrator.migrateDown()).error).toBeUndefined();
  });
});

it('closes the client that it made itself, and no other', async () => {
  let made: Flotilla | undefined;
  const own = new Kysely<Database>({
    dialect: new FlotillaDialect({
      client: async () => {
        made = await connect({ embedded: true });
        return made;
      },
    }),
  });
  expect((await sql`SELECT 1 AS one`.execute(own)).rows).toEqual([{ one: 1 }]);
  await own.destroy();
  await expect(made?.sql.unsafe('SELECT 1')).rejects.toMatchObject({ code: 'CLOSED' });
  const borrowed = new Kysely<Database>({ dialect: new FlotillaDialect({ client }) });
  await sql`SELECT 1`.execute(borrowed);
  await borrowed.destroy();
  expect((await client.sql`SELECT 1 AS one`).rows).toEqual([{ one: 1 }]);
});
