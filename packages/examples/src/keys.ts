import { deepEqual, equal } from 'node:assert/strict';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });

// #region keys
await db.kv.put('boat/1', 'Ariel');
await db.kv.put('boat/2', Uint8Array.of(1, 2, 3)); // keys and values are bytes, or text as UTF-8
equal((await db.kv.get('boat/1'))?.text(), 'Ariel');

const keys: string[] = [];
for await (const entry of db.kv.scan({ prefix: 'boat/', reverse: true, limit: 10 }))
  keys.push(entry.keyText());
deepEqual(keys, ['boat/2', 'boat/1']);
// #endregion

// #region cas
const read = await db.kv.get('boat/1');
const renamed = await db.kv.put('boat/1', 'Miranda', { ifVersion: read?.version ?? 0 });
equal(renamed.applied, true);
const late = await db.kv.put('boat/1', 'Puck', { ifVersion: read?.version ?? 0 });
equal(late.applied, false); // somebody else was faster: late.foundVersion is what is there
equal((await db.kv.put('boat/1', 'x', { ifAbsent: true })).applied, false);
// #endregion

// #region update
const counted = await db.kv.update('visits', (entry) => `${Number(entry?.text() ?? 0) + 1}`);
equal(counted.retries, 0);
// #endregion
await db.close();
