/** Knex: migrations with its lock table, the schema builder, queries, transactions. */
import { expectEqual, refusal } from '../frame.mjs';

export async function knex(world) {
  const db = world.load('knex')({
    client: 'pg',
    connection: world.where,
    pool: { min: 0, max: 3 },
  });
  const migrations = [
    {
      name: '01-owners',
      up: async (to) => {
        await to.schema.createTable('m_knex_owners', (table) => {
          table.increments('id');
          table.string('name').notNullable().unique();
          table.enu('kind', ['person', 'firm']).defaultTo('person');
          table.timestamps(true, true);
        });
        await to.schema.createTable('m_knex_cars', (table) => {
          table.uuid('id').primary().defaultTo(to.fn.uuid());
          table
            .integer('owner')
            .notNullable()
            .references('id')
            .inTable('m_knex_owners')
            .onDelete('CASCADE');
          table.specificType('tags', 'text[]');
          table.jsonb('data');
          table.decimal('price', 10, 2).index();
          table.unique(['owner', 'price']);
        });
      },
      down: async (to) => {
        await to.schema.dropTable('m_knex_cars');
        await to.schema.dropTable('m_knex_owners');
      },
    },
    {
      name: '02-alter',
      up: (to) =>
        to.schema.alterTable('m_knex_owners', (table) => {
          table.string('note', 50).nullable();
          table.text('name').notNullable().alter();
          table.renameColumn('kind', 'sort');
        }),
      down: (to) =>
        to.schema.alterTable('m_knex_owners', (table) => {
          table.dropColumn('note');
          table.string('name').notNullable().alter();
          table.renameColumn('sort', 'kind');
        }),
    },
  ];
  const migrationSource = {
    getMigrations: async () => migrations,
    getMigrationName: ({ name }) => name,
    getMigration: async (migration) => migration,
  };
  await world.check('knex', 'migrations up, down, up', async () => {
    for (const table of ['m_knex_cars', 'm_knex_owners', 'knex_migrations', 'knex_migrations_lock'])
      await db.schema.dropTableIfExists(table);
    const latest = async () => (await db.migrate.latest({ migrationSource }))[1];
    expectEqual(await latest(), ['01-owners', '02-alter']);
    expectEqual((await db.migrate.rollback({ migrationSource }, true))[1], [
      '02-alter',
      '01-owners',
    ]);
    expectEqual(await latest(), ['01-owners', '02-alter']);
    expectEqual(await latest(), []);
    expectEqual(await db.schema.hasColumn('m_knex_owners', 'sort'), true);
    expectEqual((await db('m_knex_owners').columnInfo()).note.maxLength, 50);
  });
  await world.check('knex', 'CRUD, upsert, relations', async () => {
    const [{ id }] = await db('m_knex_owners').insert({ name: 'ann' }).returning('id');
    await db('m_knex_cars').insert([
      { owner: id, price: 10, tags: ['red'], data: { doors: 4 } },
      { owner: id, price: 20, tags: null, data: null },
    ]);
    await db('m_knex_owners')
      .insert({ name: 'ann', note: 'again' })
      .onConflict('name')
      .merge(['note']);
    await db('m_knex_owners').insert({ name: 'ann' }).onConflict('name').ignore();
    const joined = await db('m_knex_owners as o')
      .join('m_knex_cars as c', 'c.owner', 'o.id')
      .groupBy('o.name', 'o.note')
      .select('o.name', 'o.note')
      .sum('c.price as sum');
    expectEqual(joined, [{ name: 'ann', note: 'again', sum: '30.00' }]);
    expectEqual(await db('m_knex_cars').whereRaw("data ->> 'doors' = ?", ['4']).pluck('tags'), [
      ['red'],
    ]);
    expectEqual(await db('m_knex_cars').increment('price', 5), 2);
    expectEqual(await db('m_knex_cars').where('price', '>', 20).del(), 1);
    const refused = await refusal(db('m_knex_owners').insert({ name: 'x', sort: 'neither' }));
    expectEqual(refused.code, '23514');
  });
  await world.check('knex', 'transactions, savepoints, locks', async () => {
    await db.transaction(
      async (tx) => {
        await tx('m_knex_owners').where({ name: 'ann' }).forUpdate().first();
        await tx('m_knex_owners').insert({ name: 'bob' });
        await refusal(tx.transaction((inner) => inner('m_knex_owners').insert({ name: 'bob' })));
      },
      { isolationLevel: 'serializable' },
    );
    await refusal(
      db.transaction(async (tx) => {
        await tx('m_knex_owners').del();
        throw new Error('undone');
      }),
    );
    expectEqual(await db('m_knex_owners').orderBy('name').pluck('name'), ['ann', 'bob']);
  });
  await world.check('knex', 'batches, streams, pages', async () => {
    const rows = Array.from({ length: 500 }, (_, index) => ({ name: `n${index}` }));
    await db.batchInsert('m_knex_owners', rows, 100);
    let seen = 0;
    for await (const row of db('m_knex_owners').where('name', 'like', 'n%').stream())
      seen += row.name.length > 0 ? 1 : 0;
    expectEqual(seen, 500);
    const page = await db('m_knex_owners').orderBy('id', 'desc').offset(10).limit(2).pluck('name');
    expectEqual(page, ['n489', 'n488']);
  });
  await db.destroy();
}
