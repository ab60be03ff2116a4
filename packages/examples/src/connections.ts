import { deepEqual, equal } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });

// #region connection
const connection = db.openConnection({ applicationName: 'report', settings: { timezone: 'UTC' } });
try {
  const { sql } = connection;
  await sql`CREATE TEMPORARY TABLE chosen (id int)`; // this session's alone
  await sql`BEGIN ISOLATION LEVEL READ COMMITTED`;
  await sql`INSERT INTO chosen VALUES (1), (2)`;
  equal(connection.transactionStatus, 'active');
  await sql`COMMIT`;
  deepEqual((await sql`SELECT count(*) AS n FROM chosen`).rows, [{ n: 2n }]);
} finally {
  await connection.close(); // rolls back what is open
}
// #endregion
await db.close();
