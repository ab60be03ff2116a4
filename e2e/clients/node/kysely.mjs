/** Kysely: its migrator, queries with relations as JSON, introspection. */
import { expectEqual, refusal } from '../frame.mjs';

export async function kysely(world) {
  const pg = world.load('pg');
  const { Kysely, Migrator, PostgresDialect, sql } = world.load('kysely');
  const { jsonArrayFrom, jsonObjectFrom } = world.load('kysely/helpers/postgres');
  const db = new Kysely({
    dialect: new PostgresDialect({ pool: new pg.Pool({ ...world.where, max: 3 }) }),
  });
  const migrations = {
    '01-people': {
      up: async (to) => {
        await to.schema.createType('m_ky_kind').asEnum(['cat', 'dog']).execute();
        await to.schema
          .createTable('m_ky_people')
          .addColumn('id', 'serial', (column) => column.primaryKey())
          .addColumn('name', 'varchar(20)', (column) => column.notNull().unique())
          .addColumn('made', 'timestamptz', (column) => column.defaultTo(sql`now()`).notNull())
          .execute();
      },
      down: async (to) => {
        await to.schema.dropTable('m_ky_people').execute();
        await to.schema.dropType('m_ky_kind').execute();
      },
    },
    '02-pets': {
      up: async (to) => {
        await to.schema
          .createTable('m_ky_pets')
          .addColumn('id', 'bigint', (column) => column.primaryKey().generatedAlwaysAsIdentity())
          .addColumn('owner', 'integer', (column) =>
            column.references('m_ky_people.id').onDelete('cascade').notNull(),
          )
          .addColumn('kind', sql`m_ky_kind`)
          .addColumn('name', 'text')
          .addUniqueConstraint('m_ky_pets_names', ['owner', 'name'])
          .addCheckConstraint('m_ky_pets_named', sql`name <> ''`)
          .execute();
        await to.schema.createIndex('m_ky_pets_owner').on('m_ky_pets').column('owner').execute();
        await to.schema
          .alterTable('m_ky_people')
          .addColumn('age', 'integer')
          .alterColumn('name', (column) => column.setDataType('text'))
          .execute();
      },
      down: async (to) => {
        await to.schema.dropTable('m_ky_pets').execute();
        await to.schema.alterTable('m_ky_people').dropColumn('age').execute();
      },
    },
  };
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const succeed = ({ error, results }) => {
    if (error !== undefined) throw error;
    return results.map(({ status }) => status);
  };

  await world.check('kysely', 'migrations up, down, up', async () => {
    await sql`drop table if exists m_ky_pets, m_ky_people, kysely_migration, kysely_migration_lock`.execute(
      db,
    );
    await sql`drop type if exists m_ky_kind`.execute(db);
    expectEqual(succeed(await migrator.migrateToLatest()), ['Success', 'Success']);
    expectEqual(succeed(await migrator.migrateDown()), ['Success']);
    expectEqual(succeed(await migrator.migrateDown()), ['Success']);
    expectEqual(succeed(await migrator.migrateToLatest()), ['Success', 'Success']);
    expectEqual(succeed(await migrator.migrateToLatest()), []);
  });
  await world.check('kysely', 'CRUD, upsert, relations', async () => {
    const { id } = await db
      .insertInto('m_ky_people')
      .values({ name: 'ann', age: 3 })
      .returning('id')
      .executeTakeFirstOrThrow();
    await db
      .insertInto('m_ky_pets')
      .values([
        { owner: id, kind: 'cat', name: 'tom' },
        { owner: id, kind: 'dog', name: 'rex' },
      ])
      .execute();
    await db
      .insertInto('m_ky_people')
      .values({ name: 'ann', age: 4 })
      .onConflict((conflict) =>
        conflict.column('name').doUpdateSet((eb) => ({ age: eb.ref('excluded.age') })),
      )
      .execute();
    const found = await db
      .selectFrom('m_ky_people as p')
      .select((eb) => [
        'p.name',
        'p.age',
        jsonArrayFrom(
          eb
            .selectFrom('m_ky_pets as t')
            .select(['t.name', 't.kind'])
            .whereRef('t.owner', '=', 'p.id')
            .orderBy('t.name'),
        ).as('pets'),
        jsonObjectFrom(
          eb.selectFrom('m_ky_pets as t').select('t.name').where('t.kind', '=', 'cat'),
        ).as('cat'),
      ])
      .execute();
    expectEqual(found, [
      {
        ...{ name: 'ann', age: 4 },
        pets: [
          { name: 'rex', kind: 'dog' },
          { name: 'tom', kind: 'cat' },
        ],
        cat: { name: 'tom' },
      },
    ]);
    const updated = await db
      .updateTable('m_ky_pets')
      .from('m_ky_people')
      .set({ name: 'tim' })
      .whereRef('m_ky_people.id', '=', 'm_ky_pets.owner')
      .where('kind', '=', 'cat')
      .executeTakeFirst();
    expectEqual(Number(updated.numUpdatedRows), 1);
  });
  await world.check('kysely', 'transactions, savepoints, streams', async () => {
    await refusal(
      db.transaction().execute(async (tx) => {
        await tx.deleteFrom('m_ky_people').execute();
        throw new Error('undone');
      }),
    );
    const controlled = await db.startTransaction().setIsolationLevel('serializable').execute();
    const saved = await controlled.savepoint('here').execute();
    await saved.deleteFrom('m_ky_pets').execute();
    const back = await saved.rollbackToSavepoint('here').execute();
    await back.commit().execute();
    const { n } = await db
      .selectFrom('m_ky_pets')
      .select((eb) => eb.fn.countAll().as('n'))
      .executeTakeFirst();
    expectEqual(n, '2');
  });
  await world.check('kysely', 'introspection', async () => {
    const tables = await db.introspection.getTables();
    const people = tables.find(({ name }) => name === 'm_ky_people');
    expectEqual(
      people?.columns.map((column) => [column.name, column.dataType, column.isAutoIncrementing]),
      [
        ['id', 'int4', true],
        ['name', 'text', false],
        ['made', 'timestamptz', false],
        ['age', 'int4', false],
      ],
    );
  });
  await db.destroy();
}
