/** Drizzle: migrations as drizzle-kit writes them, `push` by introspection, relational queries over LATERAL and JSON. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectEqual, refusal } from '../frame.mjs';

export async function drizzle(world) {
  const { Pool } = world.load('pg');
  const orm = world.load('drizzle-orm');
  const core = world.load('drizzle-orm/pg-core');
  const node = world.load('drizzle-orm/node-postgres');
  const { migrate } = world.load('drizzle-orm/node-postgres/migrator');
  const pool = new Pool({ ...world.where, max: 3 });
  const tables = schemaOf(orm, core);
  const db = node.drizzle(pool, { schema: tables });

  await world.check('drizzle', 'generated migrations', async () => {
    await pool.query('drop schema if exists m_drizzle cascade');
    await pool.query('drop table if exists m_drizzle_migrations');
    const folder = await migrationFolder(world, tables);
    try {
      const options = {
        migrationsFolder: folder,
        migrationsTable: 'm_drizzle_migrations',
        migrationsSchema: 'public',
      };
      await migrate(db, options);
      await migrate(db, options); // nothing is left to do
      const { rows } = await pool.query('select count(*)::int n from m_drizzle_migrations');
      expectEqual(rows, [{ n: 1 }]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
  await world.check('drizzle', 'CRUD, upsert', async () => {
    const { users } = tables;
    const [ann] = await db.insert(users).values({ name: 'ann', mood: 'sad' }).returning();
    expectEqual([ann.mood, ann.tags, ann.made instanceof Date], ['sad', null, true]);
    await db
      .insert(users)
      .values({ name: 'ann' })
      .onConflictDoUpdate({ target: users.name, set: { mood: 'happy', tags: ['x'] } });
    await db
      .update(users)
      .set({ age: orm.sql`coalesce(${users.age}, 0) + 1` })
      .where(orm.eq(users.id, ann.id));
    const found = await db
      .select()
      .from(users)
      .where(orm.inArray(users.name, ['ann', 'bob']));
    expectEqual([found.length, found[0].mood, found[0].tags, found[0].age], [1, 'happy', ['x'], 1]);
    const refused = await refusal(db.insert(users).values({ name: 'ann' }));
    expectEqual(refused.cause?.code ?? refused.code, '23505');
  });
  await world.check('drizzle', 'relations', async () => {
    const { users, posts } = tables;
    const [{ id }] = await db.select({ id: users.id }).from(users);
    await db.insert(posts).values([
      { owner: id, title: 'y', data: { n: 2 } },
      { owner: id, title: 'x', data: { n: 1 } },
    ]);
    const found = await db.query.users.findMany({
      columns: { name: true },
      with: { posts: { columns: { title: true, data: true }, orderBy: posts.title } },
    });
    expectEqual(found, [
      {
        name: 'ann',
        posts: [
          { title: 'x', data: { n: 1 } },
          { title: 'y', data: { n: 2 } },
        ],
      },
    ]);
    const one = await db.query.posts.findFirst({
      where: orm.eq(posts.title, 'x'),
      with: { user: true },
    });
    expectEqual(one.user.name, 'ann');
    const counted = await db
      .select({ name: users.name, n: orm.count(posts.id) })
      .from(users)
      .leftJoin(posts, orm.eq(posts.owner, users.id))
      .groupBy(users.name);
    expectEqual(counted, [{ name: 'ann', n: 2 }]);
  });
  await world.check('drizzle', 'transactions, savepoints', async () => {
    const { users, posts } = tables;
    await db.transaction(
      async (tx) => {
        await tx.update(users).set({ name: 'bob' });
        await refusal(
          tx.transaction(async (inner) => {
            await inner.delete(posts);
            inner.rollback();
          }),
        );
      },
      { isolationLevel: 'serializable' },
    );
    expectEqual(await db.$count(posts), 2);
    expectEqual(await db.$count(users, orm.eq(users.name, 'bob')), 1);
  });
  await world.check('drizzle', 'push: introspection finds no difference', async () => {
    const { pushSchema } = world.load('drizzle-kit/api');
    const { statementsToExecute } = await pushSchema(tables, db, ['m_drizzle']);
    expectEqual(statementsToExecute, []);
  });
  await pool.end();
}

function schemaOf(orm, core) {
  const schema = core.pgSchema('m_drizzle');
  const moods = schema.enum('mood', ['happy', 'sad']);
  const users = schema.table(
    'users',
    {
      id: core.integer('id').primaryKey().generatedAlwaysAsIdentity(),
      name: core.varchar('name', { length: 40 }).notNull().unique(),
      mood: moods('mood').default('happy'),
      age: core.smallint('age'),
      tags: core.text('tags').array(),
      made: core.timestamp('made', { withTimezone: true }).notNull().defaultNow(),
    },
    (table) => [core.index('users_made').on(table.made.desc(), table.name)],
  );
  const posts = schema.table(
    'posts',
    {
      id: core.uuid('id').primaryKey().defaultRandom(),
      owner: core
        .integer('owner')
        .notNull()
        .references(() => users.id, { onDelete: 'cascade' }),
      title: core.text('title').notNull(),
      data: core.jsonb('data'),
      price: core.numeric('price', { precision: 8, scale: 2 }),
    },
    (table) => [core.uniqueIndex('posts_title').on(table.owner, table.title)],
  );
  return {
    ...{ schema, moods, users, posts },
    userRelations: orm.relations(users, ({ many }) => ({ posts: many(posts) })),
    postRelations: orm.relations(posts, ({ one }) => ({
      user: one(users, { fields: [posts.owner], references: [users.id] }),
    })),
  };
}

/** What `drizzle-kit generate` writes for a schema that did not exist before. */
async function migrationFolder(world, tables) {
  const kit = world.load('drizzle-kit/api');
  const statements = await kit.generateMigration(
    kit.generateDrizzleJson({}),
    kit.generateDrizzleJson(tables),
  );
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-drizzle-'));
  mkdirSync(join(folder, 'meta'));
  writeFileSync(join(folder, '0000_first.sql'), statements.join('\n--> statement-breakpoint\n'));
  const entries = [{ idx: 0, version: '7', when: 1, tag: '0000_first', breakpoints: true }];
  writeFileSync(
    join(folder, 'meta/_journal.json'),
    JSON.stringify({ version: '7', dialect: 'postgresql', entries }),
  );
  return folder;
}
