import { deepEqual } from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect } from '@flotilla/client';

const db = await connect({ embedded: true });

// #region listen
const tides = new EventEmitter<{ tide: [text: string] }>();
const subscription = await db.listen('tides', ({ payload }) => tides.emit('tide', payload));

const next = once(tides, 'tide');
await db.sql`SELECT pg_notify('tides', ${'high'})`; // from any gateway or program of the cluster
deepEqual(await next, ['high']);
subscription.close();
// #endregion
await db.close();
