import { deepEqual } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });

// #region bulk
await db.sql`CREATE TABLE readings (id int PRIMARY KEY, depth float8, tags text[])`;

async function* readings(count: number) {
  for (let id = 0; id < count; id++) yield { id, depth: id / 10, tags: [`sensor ${id % 3}`] };
}

const result = await db.bulkInsert('readings', readings(2500), {
  transactions: 'many',
  rowsPerTransaction: 1000,
  onCommitted: (rows) => void rows, // for a progress bar, or for where to go on after a failure
});
deepEqual(result, { rows: 2500, transactions: 3, retries: 0 });
// #endregion
await db.close();
