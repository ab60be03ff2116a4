import { equal } from 'node:assert/strict';

const { FLOTILLA_NATS: servers = 'nats://127.0.0.1:4222' } = process.env;
const [user, password] = ['ann', 'secret'];

// #region cluster
import { connect } from '@flotilla/client';

const db = await connect({ servers, cluster: 'demo', user, password, timeoutMs: 10_000 });
try {
  const { rows } = await db.sql<{ one: number }>`SELECT 1 AS one`;
  equal(rows[0]?.one, 1);
} finally {
  await db.close();
}
// #endregion
