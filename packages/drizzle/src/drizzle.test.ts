/** Drizzle over a database of this process. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Flotilla, SqlError } from '@flotilla/client';
import { asc, count, eq, inArray, relations, sql } from 'drizzle-orm';
import {
  bigint,
  date,
  integer,
  jsonb,
  numeric,
  pgTable,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { drizzle, type FlotillaDatabase, migrate } from './index.ts';

const people = pgTable('people', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  name: text('name').notNull().unique(),
  tags: text('tags').array(),
  born: date('born'),
  seen: timestamp('seen', { withTimezone: true }),
  steps: bigint('steps', { mode: 'bigint' }),
});
const pets = pgTable('pets', {
  id: uuid('id').primaryKey().defaultRandom(),
  owner: integer('owner')
    .notNull()
    .references(() => people.id),
  name: text('name').notNull(),
  facts: jsonb('facts'),
  price: numeric('price', { precision: 8, scale: 2 }),
});
const schema = {
  people,
  pets,
  peopleRelations: relations(people, ({ many }) => ({ pets: many(pets) })),
  petRelations: relations(pets, ({ one }) => ({
    person: one(people, { fields: [pets.owner], references: [people.id] }),
  })),
};

const migration = `
CREATE TABLE people (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL UNIQUE, tags text[], born date,
  seen timestamptz, steps int8);
--> statement-breakpoint
CREATE TABLE pets (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), owner int NOT NULL REFERENCES people, name text NOT NULL,
  facts jsonb, price numeric(8, 2));
`;

let client: Flotilla;
let db: FlotillaDatabase<typeof schema>;

beforeAll(async () => {
  client = await connect({ embedded: true });
  db = drizzle(client, { schema });
  const migrationsFolder = await mkdtemp(join(tmpdir(), 'flotilla-drizzle-'));
  try {
    await mkdir(join(migrationsFolder, 'meta'));
    await writeFile(join(migrationsFolder, '0000_first.sql'), migration);
    const entries = [{ idx: 0, version: '7', when: 1, tag: '0000_first', breakpoints: true }];
    await writeFile(
      join(migrationsFolder, 'meta/_journal.json'),
      JSON.stringify({ version: '7', dialect: 'postgresql', entries }),
    );
    await migrate(db, { migrationsFolder });
    await migrate(db, { migrationsFolder }); // nothing is left to do
  } finally {
    await rm(migrationsFolder, { recursive: true });
  }
});
afterAll(() => client.close());
beforeEach(async () => {
  await db.delete(pets);
  await db.delete(people);
});

async function add(name: string): Promise<number> {
  const [person] = await db.insert(people).values({ name }).returning({ id: people.id });
  return person?.id ?? -1;
}

async function sqlstate(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) => {
      const cause = error instanceof Error ? error.cause : undefined;
      return cause instanceof SqlError ? cause.code : String(error);
    },
  );
}

describe('queries', () => {
  it('have run their migrations once', async () => {
    const { rows } = await db.execute<{ n: string }>(
      sql`SELECT count(*) AS n FROM drizzle.__drizzle_migrations`,
    );
    expect(rows).toEqual([{ n: '1' }]);
  });

  it('insert, select, update, upsert, delete; columns read their values', async () => {
    const seen = new Date('2026-02-03T04:05:06.789Z');
    const values = {
      name: 'ann',
      tags: ['a"b', 'c,d'],
      born: '1985-12-10',
      seen,
      steps: 2n ** 60n,
    };
    const [ann] = await db.insert(people).values(values).returning();
    expect(ann).toEqual({ ...values, id: ann?.id });
    await db
      .insert(people)
      .values({ name: 'ann' })
      .onConflictDoUpdate({ target: people.name, set: { tags: [], steps: 1n } });
    const updated = await db
      .update(people)
      .set({ steps: sql`${people.steps} + 1` })
      .where(eq(people.name, 'ann'));
    expect(updated.rowCount).toBe(1);
    expect(await db.select({ tags: people.tags, steps: people.steps }).from(people)).toEqual([
      { tags: [], steps: 2n },
    ]);
    expect((await db.delete(people).where(inArray(people.name, ['ann', 'bob']))).rowCount).toBe(1);
  });

  it('join and count', async () => {
    const [ann] = [await add('ann'), await add('bob')];
    await db.insert(pets).values([
      { owner: ann, name: 'tom', facts: { lives: 9 }, price: '1.50' },
      { owner: ann, name: 'rex', facts: '5' },
    ]);
    const joined = await db
      .select({ name: people.name, pets: count(pets.id) })
      .from(people)
      .leftJoin(pets, eq(pets.owner, people.id))
      .groupBy(people.name)
      .orderBy(asc(people.name));
    expect(joined).toEqual([
      { name: 'ann', pets: 2 },
      { name: 'bob', pets: 0 },
    ]);
    const rows = await db.select().from(people).leftJoin(pets, eq(pets.owner, people.id));
    expect(rows.find((row) => row.people.name === 'bob')?.pets).toBeNull();
    expect(await db.$count(pets)).toBe(2);
  });

  it('relate, through LATERAL and JSON', async () => {
    const ann = await add('ann');
    await db.insert(pets).values([
      { owner: ann, name: 'tom', facts: { lives: 9 }, price: '1.50' },
      { owner: ann, name: 'rex' },
    ]);
    const found = await db.query.people.findMany({
      columns: { name: true },
      with: { pets: { columns: { name: true, facts: true }, orderBy: pets.name } },
    });
    expect(found).toEqual([
      {
        name: 'ann',
        pets: [
          { name: 'rex', facts: null },
          { name: 'tom', facts: { lives: 9 } },
        ],
      },
    ]);
    const tom = await db.query.pets.findFirst({
      where: eq(pets.name, 'tom'),
      with: { person: true },
    });
    expect([tom?.person.name, tom?.price]).toEqual(['ann', '1.50']);
  });

  it('are prepared with placeholders', async () => {
    await add('ann');
    const byName = db
      .select({ id: people.id })
      .from(people)
      .where(eq(people.name, sql.placeholder('name')))
      .prepare('by_name');
    expect(await byName.execute({ name: 'ann' })).toHaveLength(1);
    expect(await byName.execute({ name: 'eve' })).toEqual([]);
  });

  it('fail with the SQLSTATE as the cause', async () => {
    await add('ann');
    expect(await sqlstate(add('ann'))).toBe('23505');
    expect(await sqlstate(db.insert(pets).values({ owner: -1, name: 'stray' }))).toBe('23503');
    expect(await sqlstate(db.execute(sql`SELECT * FROM nowhere`))).toBe('42P01');
  });
});

describe('transactions', () => {
  it('commit, roll back with their error, and have savepoints', async () => {
    const committed = await db.transaction(
      async (tx) => {
        await tx.insert(people).values({ name: 'ann' });
        const undone = tx.transaction(async (inner) => {
          await inner.insert(people).values({ name: 'lost' });
          inner.rollback();
        });
        await expect(undone).rejects.toThrow('Rollback');
        await tx.transaction((inner) => inner.insert(people).values({ name: 'bob' }));
        return 'done';
      },
      { isolationLevel: 'serializable', accessMode: 'read write' },
    );
    expect(committed).toBe('done');
    const undone = db.transaction(async (tx) => {
      await tx.delete(people);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    const names = await db.select({ name: people.name }).from(people).orderBy(people.name);
    expect(names.map(({ name }) => name)).toEqual(['ann', 'bob']);
  });

  it('keep to their access mode', async () => {
    const reading = db.transaction((tx) => tx.insert(people).values({ name: 'x' }), {
      accessMode: 'read only',
    });
    expect(await sqlstate(reading)).toBe('25006');
  });

  it('say so when a COMMIT has rolled back', async () => {
    const failed = db.transaction(async (tx) => {
      await tx.insert(people).values({ name: 'lost' });
      await sqlstate(tx.execute(sql`SELECT 1 / 0`));
    });
    await expect(failed).rejects.toThrow('rolled back');
    expect(await db.$count(people)).toBe(0);
  });
});

it('logs queries where asked, and shows its client', async () => {
  const logged: [string, unknown[]][] = [];
  const logQuery = (query: string, parameters: unknown[]): void => {
    logged.push([query, parameters]);
  };
  const logging = drizzle(client, { logger: { logQuery } });
  await logging.select({ one: sql<number>`${7}::int` }).from(people);
  expect(logged).toEqual([['select $1::int from "people"', [7]]]);
  expect(logging.$client).toBe(client);
});
