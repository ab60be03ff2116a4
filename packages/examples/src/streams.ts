import { equal } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });
await db.sql`CREATE TABLE readings (at int PRIMARY KEY, depth float8)`;
await db.sql`INSERT INTO readings SELECT i, i / 10.0 FROM generate_series(1, 3000) AS i`;

// #region stream
let deepest = 0;
for await (const { depth } of db.sql.stream<{ depth: number }>`SELECT depth FROM readings`) {
  deepest = Math.max(deepest, depth); // one batch of rows is in memory, whatever the table holds
  if (depth > 250) break; // the statement ends here
}
// #endregion
equal(deepest > 250, true);
await db.close();
