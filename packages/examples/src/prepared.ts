import { deepEqual, equal } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });
await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text)`;
await db.sql`INSERT INTO boats VALUES (1, 'Ariel'), (2, 'Miranda')`;

// #region prepare
const boatById = await db.sql.prepare<{ name: string }, [id: number]>(
  'SELECT name FROM boats WHERE id = $1',
);
const found = await Promise.all([1, 2].map((id) => boatById.run(id)));
deepEqual(
  found.map(({ rows }) => rows[0]?.name),
  ['Ariel', 'Miranda'],
);
await db.transaction(async ({ sql }) => {
  const { rows } = await boatById.with({ sql }).run(2); // as a statement of this transaction
  equal(rows[0]?.name, 'Miranda');
});
// #endregion
await db.close();
