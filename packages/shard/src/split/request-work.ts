/**
 * What requests weigh, for the load of their ranges: a get of one key, or a write of one, is 1. Further keys and rows cost a
 * part of that, since the message, the turn and the entry of the log are there already. Rough figures: they decide which
 * range is hot, and where its middle is.
 */
import type { flotilla } from '../../gen/kv.js';
import type { RangeLoad } from './range-load.ts';
import { rowsPerNote, ScanWork } from './scan-work.ts';

type Request = flotilla.kv.Request;
interface Keyed {
  readonly key?: Uint8Array | null;
}

/** Of every key beyond the first of a get, and of a write or a promise. */
const perKeyRead = 1 / 8;
const perKeyWritten = 1 / 4;
const perRowScanned = 1 / 32;
const perByteScanned = 1 / (16 * 1024);
/** Keys of one request that may be sampled. */
const keysNoted = 8;

/** A request was admitted. What a scan reads comes besides, when it has read it. */
export function noteRequest(load: RangeLoad, request: Request, clientId: string): void {
  const { rangeId, get, scan, write, prepare } = request;
  if (get) {
    const keys = get.keys ?? [];
    if (keys.length <= 1) load.note(rangeId, keys[0], clientId);
    else noteKeys(load, { rangeId, clientId, perKey: perKeyRead }, keys.length, (i) => keys[i]);
    return;
  }
  const written = write ?? prepare;
  if (!written) {
    load.note(rangeId, scan?.startKey ?? undefined, clientId);
    return;
  }
  const rows: readonly Keyed[] = written.mutations?.length
    ? written.mutations
    : (written.conditions ?? []);
  const keyAt = (i: number): Uint8Array | undefined => rows[i]?.key ?? undefined;
  if (rows.length > 1)
    noteKeys(load, { rangeId, clientId, perKey: perKeyWritten }, rows.length, keyAt);
  else load.note(rangeId, keyAt(0) ?? prepare?.readChecks?.[0]?.startKey ?? undefined, clientId);
}

/** For one scan of a client. */
export function scanWorkOf(load: RangeLoad, rangeId: number, clientId: string): ScanWork {
  return new ScanWork(load.place(rowsPerNote), (rows, bytes, key) =>
    load.note(rangeId, key, clientId, Math.max(rows * perRowScanned, bytes * perByteScanned)),
  );
}

/** Spreads the weight evenly over some of the keys. */
function noteKeys(
  load: RangeLoad,
  of: { readonly rangeId: number; readonly clientId: string; readonly perKey: number },
  count: number,
  keyAt: (i: number) => Uint8Array | undefined,
): void {
  const { rangeId, clientId, perKey } = of;
  const parts = Math.min(count, keysNoted);
  const weight = (1 + (count - 1) * perKey) / parts;
  const first = load.place(count);
  for (let part = 0; part < parts; part++)
    load.note(
      rangeId,
      keyAt((first + Math.floor((part * count) / parts)) % count),
      clientId,
      weight,
    );
}
