import { toRangeId, toReplicaId, toStoreId } from '@flotilla/base';
import { expect, it } from 'vitest';
import { flotilla } from '../../gen/kv.js';
import { decodeRangeCheckpoint, encodeRangeCheckpoint } from './range-checkpoint.ts';
import { SessionTable } from './session-table.ts';
import { TransactionState } from './transaction-state.ts';

const state = {
  descriptor: {
    rangeId: toRangeId(3),
    startKey: Buffer.of(1),
    endKey: Buffer.of(2),
    generation: 1,
    replicas: [{ storeId: toStoreId(1), replicaId: toReplicaId(1) }],
    nextReplicaId: toReplicaId(2),
  },
  replicaId: 1,
  appliedIndex: 5,
  appliedTerm: 2,
  storageId: 3,
  lastTimestamp: 7,
  liveBytes: 100,
  historyBytes: 200,
  lastDeletion: 0,
};

it('says how much old versions take; one that was written before that was counted says none', () => {
  const sessions = new SessionTable();
  const transactions = new TransactionState();
  const bytes = Buffer.from(encodeRangeCheckpoint({ ...state, sessions, transactions }));
  expect(decodeRangeCheckpoint(bytes)).toMatchObject({ ok: true, state });
  const decoded = flotilla.kv.RangeCheckpoint.decode(bytes);
  const { historyBytes: _, ...before } = { ...decoded.state };
  const older = flotilla.kv.RangeCheckpoint.encode({ ...decoded, state: before }).finish();
  expect(older.length).toBeLessThan(bytes.length);
  expect(decodeRangeCheckpoint(Buffer.from(older))).toMatchObject({
    ok: true,
    state: { liveBytes: 100, historyBytes: 0 },
  });
});
