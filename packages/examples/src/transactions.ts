import { deepEqual, equal } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });
await db.sql`CREATE TABLE accounts (id int PRIMARY KEY, balance int8 NOT NULL CHECK (balance >= 0))`;
await db.sql`INSERT INTO accounts VALUES (1, 100), (2, 0)`;

// #region transfer
async function transfer(from: number, to: number, amount: bigint): Promise<void> {
  await db.transaction(async ({ sql, kv }) => {
    await sql`UPDATE accounts SET balance = balance - ${amount} WHERE id = ${from}`;
    await sql`UPDATE accounts SET balance = balance + ${amount} WHERE id = ${to}`;
    kv.put('last transfer', `${from} to ${to}`); // keys and tables, made at one instant
  });
}

await transfer(1, 2, 30n);
// #endregion
const { rows } = await db.sql`SELECT balance FROM accounts ORDER BY id`;
deepEqual(rows, [{ balance: 70n }, { balance: 30n }]);

// #region once
let runs = 0;
const pay = () =>
  db.transaction(
    async ({ sql }) => {
      runs++;
      await sql`UPDATE accounts SET balance = balance - 10 WHERE id = 1`;
      return { receipt: 4711 };
    },
    { idempotencyKey: 'order 4711', timeoutMs: 30_000 },
  );
deepEqual(await pay(), await pay()); // also from another process, also after a crash, for a day
equal(runs, 1);
// #endregion
await db.close();
