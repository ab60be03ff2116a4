import { deepEqual } from 'node:assert/strict';
// #region database
import { connect, type Flotilla } from '@flotilla/client';

/** What is to be tested. */
async function rename(db: Flotilla, id: number, name: string): Promise<boolean> {
  const { rowCount } = await db.sql`UPDATE boats SET name = ${name} WHERE id = ${id}`;
  return rowCount === 1;
}

const db = await connect({ embedded: true });
try {
  await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text NOT NULL)`;
  await db.sql`INSERT INTO boats VALUES (1, 'Ariel')`;
  deepEqual([await rename(db, 1, 'Miranda'), await rename(db, 2, 'Puck')], [true, false]);
} finally {
  await db.close();
}
// #endregion
