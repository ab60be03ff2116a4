/**
 * A range as of a flush point: descriptor, position in the log and the session table, in one engine row whose key names
 * the position. Replay starts from exactly this, so that applying the log again gives the same state although the
 * engine may already hold later data, or holes in it. Written just before a checkpoint, kept until the next is durable.
 */
import { asBuffer, assert, ExitCode, FatalError } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import type { Engine, EngineOperation, EngineRow } from '../engine/engine.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { SessionTable } from './session-table.ts';
import { allRangeRows, parseRangeRowKey, rangeRowKey } from './storage-keys.ts';
import { checkStored, encodeStored, storedPayload } from './stored-value.ts';

const rowVersion = 1;

export interface RangeState {
  readonly descriptor: RangeDescriptor;
  readonly replicaId: number;
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly storageId: number;
  /** Greatest timestamp of an applied command. */
  readonly lastTimestamp: number;
  readonly sessions: SessionTable;
}

export function rangeCheckpointRow(state: RangeState): EngineOperation {
  const { descriptor, replicaId, appliedIndex, appliedTerm, storageId, lastTimestamp } = state;
  const key = rangeRowKey(descriptor.rangeId, appliedIndex);
  const payload = flotilla.kv.RangeCheckpoint.encode({
    version: rowVersion,
    state: {
      version: rowVersion,
      descriptor,
      replicaId,
      appliedIndex,
      appliedTerm,
      storageId,
      lastTimestamp,
    },
    sessions: state.sessions.toRows(),
  }).finish();
  return { type: 'put', key, value: encodeStored(key, 0, payload) };
}

function decodeRow(row: EngineRow): RangeState {
  const payload = storedPayload(checkStored(row.key, row.value));
  const { version, state, sessions } = flotilla.kv.RangeCheckpoint.decode(payload);
  if (version !== rowVersion)
    throw new FatalError(ExitCode.engineCorrupt, 'a range row has an unknown version', { version });
  const checked = checkDescriptor(state?.descriptor ?? {});
  assert(checked.ok, 'a range row with a good checksum holds a good descriptor');
  return {
    descriptor: checked.descriptor,
    replicaId: state?.replicaId ?? 0,
    appliedIndex: state?.appliedIndex ?? 0,
    appliedTerm: state?.appliedTerm ?? 0,
    storageId: state?.storageId ?? 0,
    lastTimestamp: state?.lastTimestamp ?? 0,
    sessions: SessionTable.fromRows(sessions ?? []),
  };
}

export interface LoadedRanges {
  /** One per range: the row of the checkpoint that the log knows. */
  readonly ranges: readonly RangeState[];
  /** Rows of checkpoints that were not finished or have been replaced. */
  readonly obsolete: readonly Buffer[];
}

/**
 * Reads the range rows and picks, per range, the one that belongs to the log's last checkpoint.
 * @param checkpointedIndex from the log; 0 = never
 * @throws FatalError(engineCorrupt) if the engine lacks the row that the log relies on
 */
export async function loadRanges(
  engine: Engine,
  checkpointedIndex: (rangeId: number) => number,
): Promise<LoadedRanges> {
  const ranges: RangeState[] = [];
  const obsolete: Buffer[] = [];
  const seen = new Map<number, number[]>();
  const iterator = engine.iterate(allRangeRows);
  try {
    for (;;) {
      const rows = await iterator.next(64);
      if (rows.length === 0) break;
      for (const row of rows) {
        const { rangeId, appliedIndex } = parseRangeRowKey(asBuffer(row.key));
        seen.set(rangeId, [...(seen.get(rangeId) ?? []), appliedIndex]);
        if (appliedIndex === checkpointedIndex(rangeId)) ranges.push(decodeRow(row));
        else obsolete.push(row.key);
      }
    }
  } finally {
    await iterator.close();
  }
  for (const [rangeId, indices] of seen) {
    if (ranges.some((range) => range.descriptor.rangeId === rangeId)) continue;
    throw new FatalError(
      ExitCode.engineCorrupt,
      `the state of r${rangeId} at its checkpoint is missing: state and log do not belong together`,
      { rangeId, checkpointedIndex: checkpointedIndex(rangeId), found: indices },
    );
  }
  return { ranges, obsolete };
}
