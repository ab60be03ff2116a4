/**
 * Values of keys as of a snapshot, wherever it is served: the newest versions in the turn that asks, older ones from the
 * history in later turns. Whoever calls has made sure that nothing of that time is still to come, and says what an
 * uncertain version means: a leaseholder tells the reader, a follower sends it there.
 */
import { keySuccessor, probe } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Engine } from '../engine/engine.ts';
import type { StoreLimits } from '../limits.ts';
import type { Answer } from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';
import type { StorageSpace } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';
import { historyAt } from '../transaction/history.ts';
import { visibleAt } from '../transaction/version-scan.ts';
import { goneMeanwhile, tooLarge } from './read-bounds.ts';

type Value = flotilla.kv.Value.$Properties;

export interface SnapshotGet {
  readonly engine: Engine;
  readonly limits: Pick<StoreLimits, 'getBytesMax'>;
  readonly replica: Replica;
  readonly keys: readonly Uint8Array[];
  readonly snapshot: { readonly readTimestamp: number; readonly uncertaintyLimit: number };
  /** Nothing was deleted later. Timestamp. */
  readonly lastDeletion: number;
  /** Of some keys, by their index: the stored form of a version that is newer than the state's. */
  readonly announced?: readonly (Buffer | undefined)[];
  /** The first keys will do, if the values of all are more than an answer holds. Default: all or none. */
  readonly firstWillDo?: boolean;
}

export type SnapshotValues =
  /** One value per key, or of the first keys. Those that `older` names are not known yet. */
  | {
      readonly kind: 'values';
      readonly values: Value[];
      /** Undefined: all values are known. Fills in what is missing. */
      readonly older: (() => Promise<NoValues | undefined>) | undefined;
    }
  | NoValues;

export type NoValues =
  | { readonly kind: 'uncertain'; readonly timestamp: number }
  | { readonly kind: 'answer'; readonly answer: Answer };

const noBytes = Buffer.alloc(0);

/** Takes the newest versions now. */
export function valuesAt(get: SnapshotGet): SnapshotValues {
  const { engine, limits, replica, keys, snapshot, lastDeletion, announced, firstWillDo } = get;
  const { space } = replica;
  const newest = engine.getMany(keys.map((key) => space.dataKey(key)));
  const values: Value[] = [];
  const fromHistory: number[] = [];
  let bytes = 0;
  for (let i = 0; i < keys.length; i++) {
    const stored = announced?.[i] ?? newest[i];
    if (stored === undefined) {
      values.push({});
      if (lastDeletion > snapshot.readTimestamp) fromHistory.push(i);
      continue;
    }
    if (firstWillDo === true && i > 0 && bytes + stored.length > limits.getBytesMax) break;
    const visible = visibleAt(checkStored(keys[i] ?? noBytes, stored), undefined, snapshot);
    if (visible.kind === 'uncertain') return visible;
    values.push(visible.kind === 'version' ? presentValue(visible.stored) : {});
    if (visible.kind === 'absent') fromHistory.push(i);
    bytes += stored.length;
  }
  if (bytes > limits.getBytesMax) {
    const answer = tooLarge(`the values exceed ${limits.getBytesMax} bytes: ask for fewer keys`);
    return { kind: 'answer', answer };
  }
  const older =
    fromHistory.length === 0
      ? undefined
      : () => addOlderValues(get, space, { values, fromHistory });
  return { kind: 'values', values, older };
}

/** @returns why the values do not count. Undefined: they are all there. */
async function addOlderValues(
  { engine, replica, keys, snapshot }: SnapshotGet,
  space: StorageSpace,
  { values, fromHistory }: { readonly values: Value[]; readonly fromHistory: readonly number[] },
): Promise<NoValues | undefined> {
  probe('historyRead');
  for (const i of fromHistory) {
    const key = keys[i] ?? noBytes;
    const old = await historyAt(engine, space, key, snapshot.readTimestamp);
    const gone = goneMeanwhile(replica, space, { startKey: key, endKey: keySuccessor(key) });
    if (gone !== undefined) return { kind: 'answer', answer: gone };
    const visible = visibleAt(undefined, old, snapshot);
    if (visible.kind === 'uncertain') return visible;
    if (visible.kind === 'version') values[i] = presentValue(visible.stored);
  }
  return undefined;
}

export function presentValue(stored: Buffer): flotilla.kv.Value.$Properties {
  return { present: true, value: storedPayload(stored), timestamp: storedTimestamp(stored) };
}
