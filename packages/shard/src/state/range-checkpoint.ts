/**
 * A range as of a flush point: descriptor, position in the log and the session table, in one engine row whose key names
 * the position. Replay starts from exactly this, so that applying the log again gives the same state although the
 * engine may already hold later data, or holes in it. Written just before a checkpoint, kept until the next is durable.
 */
import {
  asBuffer,
  ExitCode,
  FatalError,
  type RangeId,
  spansOverlap,
  toRangeId,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import type { Engine, EngineOperation, EngineRow } from '../engine/engine.ts';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { SessionTable } from './session-table.ts';
import { allRangeRows, parseRangeRowKey, rangeRowKey, StorageSpace } from './storage-keys.ts';
import { checkStored, encodeStored, storedPayload } from './stored-value.ts';
import { TransactionState } from './transaction-state.ts';

const rowVersion = 1;

export interface RangeState {
  readonly descriptor: RangeDescriptor;
  readonly replicaId: number;
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly storageId: number;
  /** Greatest timestamp of an applied command. */
  readonly lastTimestamp: number;
  /** About how many bytes the newest versions of its keys take, keys included: counted, and corrected now and then. */
  readonly liveBytes: number;
  /**
   * About how many bytes older versions take here, keys included: each store forgets them at its own pace. Those that it
   * forgot between a checkpoint and a crash are counted until somebody measures.
   */
  readonly historyBytes: number;
  readonly sessions: SessionTable;
  /** Not below the timestamp of any deletion. */
  readonly lastDeletion: number;
  /** In rows of their own, not in the range's: empty until they are loaded. */
  readonly transactions: TransactionState;
}

export function encodeRangeCheckpoint(state: RangeState): Uint8Array {
  const { descriptor, replicaId, appliedIndex, appliedTerm, storageId } = state;
  const { lastTimestamp, lastDeletion, liveBytes, historyBytes } = state;
  return flotilla.kv.RangeCheckpoint.encode({
    version: rowVersion,
    state: {
      version: rowVersion,
      descriptor,
      replicaId,
      appliedIndex,
      appliedTerm,
      storageId,
      lastTimestamp,
      liveBytes,
      historyBytes,
      lastDeletion,
    },
    sessions: state.sessions.toRows(),
  }).finish();
}

export function rangeCheckpointRow(state: RangeState): EngineOperation {
  const key = rangeRowKey(state.descriptor.rangeId, state.appliedIndex);
  return { type: 'put', key, value: encodeStored(key, 0, encodeRangeCheckpoint(state)) };
}

export type DecodedCheckpoint =
  | { readonly ok: true; readonly state: RangeState }
  | { readonly ok: false; readonly reason: string };

/** Bytes from outside or from disk. Never throws. */
export function decodeRangeCheckpoint(payload: Buffer): DecodedCheckpoint {
  let decoded: flotilla.kv.RangeCheckpoint;
  try {
    decoded = flotilla.kv.RangeCheckpoint.decode(payload);
  } catch (error) {
    return { ok: false, reason: String(error) };
  }
  const { version, state, sessions } = decoded;
  if (version !== rowVersion) return { ok: false, reason: `unknown version ${version}` };
  const checked = checkDescriptor(state?.descriptor ?? {});
  if (!checked.ok) return checked;
  if (sessions?.some((row) => row.version !== 1))
    return { ok: false, reason: 'sessions of an unknown version' };
  const numbers = {
    replicaId: state?.replicaId ?? 0,
    appliedIndex: state?.appliedIndex ?? 0,
    appliedTerm: state?.appliedTerm ?? 0,
    storageId: state?.storageId ?? 0,
    lastTimestamp: state?.lastTimestamp ?? 0,
    liveBytes: state?.liveBytes ?? 0,
    historyBytes: state?.historyBytes ?? 0,
    lastDeletion: state?.lastDeletion ?? 0,
  };
  if (!Object.values(numbers).every((n) => Number.isSafeInteger(n) && n >= 0))
    return { ok: false, reason: 'a number is out of range' };
  return {
    ok: true,
    state: {
      descriptor: checked.descriptor,
      ...numbers,
      sessions: SessionTable.fromRows(sessions ?? []),
      transactions: new TransactionState(),
    },
  };
}

function decodeRow(row: EngineRow): RangeState {
  const decoded = decodeRangeCheckpoint(storedPayload(checkStored(row.key, row.value)));
  if (decoded.ok) return decoded.state;
  throw new FatalError(ExitCode.engineCorrupt, `a range row does not decode: ${decoded.reason}`);
}

export interface LoadedRanges {
  /** One per position. */
  readonly ranges: readonly RangeState[];
  /** Rows of checkpoints that were not finished or have been replaced, of snapshots that the log did not take, of
   *  replicas that are gone. */
  readonly obsolete: readonly Buffer[];
  /** Ranges that the log knows at their very beginning, and that no finished checkpoint tells of. */
  readonly orphans: ReadonlySet<RangeId>;
}

/**
 * What `child` was cut from, as it was before: the row of `child` is of a checkpoint that was not finished, and the split
 * is still to be applied.
 */
function isUncut(parent: RangeState, child: RangeState): boolean {
  return (
    parent.storageId === child.storageId &&
    parent.descriptor.generation < child.descriptor.generation &&
    spansOverlap(parent.descriptor, child.descriptor)
  );
}

/**
 * Reads the range rows and picks, per range that the log knows, the one that belongs to the log's position.
 * @param positions from the log: where each of its ranges was flushed last, or began
 * @param beginning where a range stands that has just arisen by a split
 * @throws FatalError(engineCorrupt) if the engine lacks a row that the log relies on
 */
export async function loadRanges(
  engine: Engine,
  positions: ReadonlyMap<RangeId, number>,
  beginning: number,
): Promise<LoadedRanges> {
  const found: RangeState[] = [];
  const obsolete: Buffer[] = [];
  const missing = new Map(positions);
  const iterator = engine.iterate(allRangeRows);
  try {
    for (;;) {
      const rows = await iterator.next(64);
      if (rows.length === 0) break;
      for (const row of rows) {
        const { rangeId, appliedIndex } = parseRangeRowKey(asBuffer(row.key));
        if (appliedIndex === positions.get(toRangeId(rangeId))) {
          found.push(decodeRow(row));
          missing.delete(toRangeId(rangeId));
        } else obsolete.push(row.key);
      }
    }
  } finally {
    await iterator.close();
  }
  const orphans = new Set<RangeId>();
  for (const [rangeId, index] of missing) {
    if (index !== beginning) continue;
    orphans.add(rangeId);
    missing.delete(rangeId);
  }
  const ranges: RangeState[] = [];
  for (const state of found) {
    const { rangeId } = state.descriptor;
    if (state.appliedIndex === beginning && found.some((other) => isUncut(other, state))) {
      orphans.add(rangeId);
      obsolete.push(rangeRowKey(rangeId, beginning));
    } else ranges.push(state);
  }
  for (const { transactions, storageId, descriptor } of ranges)
    await transactions.load(engine, new StorageSpace(storageId), descriptor);
  const [first] = missing;
  if (first === undefined) return { ranges, obsolete, orphans };
  const [rangeId, index] = first;
  throw new FatalError(
    ExitCode.engineCorrupt,
    `the state of r${rangeId} at its checkpoint ${index} is missing: state and log do not belong together; ` +
      'rebuild this store from its peers under a new id',
    { missing: [...missing] },
  );
}
