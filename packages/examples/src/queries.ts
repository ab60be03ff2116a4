import { deepEqual, equal } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });
await db.sql`CREATE TABLE boats (id int PRIMARY KEY, name text UNIQUE, tags text[], facts jsonb, built timestamptz)`;

// #region rows
interface Boat {
  readonly id: number;
  readonly name: string;
}

const name = `Finn's "Ariel"`; // bound, never spliced: nothing in it means anything to SQL
const tags = ['fast', 'blue'];
const facts = { masts: 2, owner: { name: 'Finn' } };
await db.sql`INSERT INTO boats VALUES (${1}, ${name}, ${tags}, ${facts}, ${new Date(0)})`;

const { rows, rowCount } = await db.sql<Boat>`SELECT id, name FROM boats WHERE id = ${1}`;
equal(rowCount, 1);
equal(rows[0]?.name, name);

const all = await db.sql`SELECT tags, facts, built FROM boats`;
deepEqual(all.rows, [{ tags, facts, built: new Date(0) }]);

// #endregion

// #region errors
import { SqlError } from '@flotilla/client';

async function addBoat(id: number, name: string): Promise<'added' | 'taken'> {
  try {
    await db.sql`INSERT INTO boats (id, name) VALUES (${id}, ${name})`;
    return 'added';
  } catch (error) {
    if (error instanceof SqlError && error.code === '23505') return 'taken';
    throw error;
  }
}

deepEqual([await addBoat(2, 'Miranda'), await addBoat(3, 'Miranda')], ['added', 'taken']);
// #endregion

// #region text
const columns = ['id', 'name'].map((column) => `"${column}"`).join(', '); // from the program, not from outside
const some = await db.sql.unsafe<[number, string]>(
  `SELECT ${columns} FROM boats WHERE id > $1 ORDER BY id`,
  [1],
  { rowMode: 'arrays', signal: AbortSignal.timeout(10_000) },
);
deepEqual(some.rows, [[2, 'Miranda']]);
// #endregion
await db.close();
