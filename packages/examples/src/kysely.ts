import { deepEqual } from 'node:assert/strict';
// #region kysely
import { connect } from '@flotilla/client';
import { FlotillaDialect } from '@flotilla/kysely';
import { type Generated, Kysely } from 'kysely';

interface Database {
  boats: { id: Generated<number>; name: string; length: number | null };
}

const client = await connect({ embedded: true });
const db = new Kysely<Database>({ dialect: new FlotillaDialect({ client }) });

await db.schema
  .createTable('boats')
  .addColumn('id', 'serial', (column) => column.primaryKey())
  .addColumn('name', 'text', (column) => column.notNull().unique())
  .addColumn('length', 'float8')
  .execute();
await db.transaction().execute(async (transaction) => {
  await transaction.insertInto('boats').values({ name: 'Ariel', length: 12.5 }).execute();
  await transaction.insertInto('boats').values({ name: 'Miranda', length: null }).execute();
});
for await (const { name } of db.selectFrom('boats').select('name').orderBy('name').stream(100))
  deepEqual(['Ariel', 'Miranda'].includes(name), true);

await db.destroy();
await client.close();
// #endregion
