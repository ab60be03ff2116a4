import { deepEqual } from 'node:assert/strict';
// #region drizzle
import { connect, SqlError } from '@flotilla/client';
import { drizzle } from '@flotilla/drizzle';
import { eq, sql } from 'drizzle-orm';
import { doublePrecision, integer, pgTable, text } from 'drizzle-orm/pg-core';

const boats = pgTable('boats', {
  id: integer('id').primaryKey().generatedAlwaysAsIdentity(),
  name: text('name').notNull().unique(),
  length: doublePrecision('length'),
});

const client = await connect({ embedded: true });
const db = drizzle(client, { schema: { boats } });
await db.execute(sql`
  CREATE TABLE boats (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL UNIQUE, length float8)`);

await db.transaction(async (transaction) => {
  await transaction.insert(boats).values({ name: 'Ariel', length: 12.5 });
  await transaction.update(boats).set({ length: 13 }).where(eq(boats.name, 'Ariel'));
});
const found = await db.query.boats.findMany({ columns: { name: true, length: true } });
deepEqual(found, [{ name: 'Ariel', length: 13 }]);

const code = await db
  .insert(boats)
  .values({ name: 'Ariel' })
  .then(
    () => 'inserted',
    (error: Error) => (error.cause instanceof SqlError ? error.cause.code : 'another error'),
  );
deepEqual(code, '23505');
await client.close();
// #endregion
