import { deepEqual } from 'node:assert/strict';

// #region sdk
import { connect } from '@flotilla/client'; // from a package of this workspace: nothing is published yet

const db = await connect({ embedded: true }); // or the demo's: { servers: 'nats://127.0.0.1:4222', cluster: 'demo' }
await db.sql`CREATE TABLE IF NOT EXISTS accounts (id int PRIMARY KEY, owner text, balance int8)`;
await db.sql`INSERT INTO accounts VALUES (${1}, ${'Ada'}, ${100n})`;
const { rows } = await db.sql`SELECT owner, balance FROM accounts WHERE id = ${1}`;
await db.kv.put('greeting', 'hello');
await db.close();
// #endregion
deepEqual(rows, [{ owner: 'Ada', balance: 100n }]);
