import { deepEqual } from 'node:assert/strict';
// #region metrics
import { connect, type OperationReport } from '@flotilla/client';

const counts = new Map<string, number>();
function count({ operation, outcome, code, durationMs, retries }: OperationReport): void {
  const name = [operation, outcome, ...(code === undefined ? [] : [code])].join(' ');
  counts.set(name, (counts.get(name) ?? 0) + 1);
  void [durationMs, retries]; // for a histogram, and a counter
}

const db = await connect({ embedded: true, onOperation: count });
await db.sql`SELECT 1`;
await db.kv.get('a');
await db.sql`SELECT * FROM nowhere`.catch(() => {});
deepEqual([...counts.keys()], ['sql ok', 'kv.get ok', 'sql failed 42P01']);
// #endregion
await db.close();
