import { equal } from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = await mkdtemp(join(tmpdir(), 'flotilla-example-'));

// #region directory
import { connect } from '@flotilla/client';

const path = join(folder, 'data');
const db = await connect({ embedded: true, path }); // made if absent; one process at a time
await db.kv.put('greeting', 'hello'); // on disk, synced, when it resolves
await db.close();

const again = await connect({ embedded: true, path });
equal((await again.kv.get('greeting'))?.text(), 'hello');
await again.close();
// #endregion
await rm(folder, { recursive: true });
