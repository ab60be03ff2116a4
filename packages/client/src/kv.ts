/**
 * The key-value half of the SDK: an ordered map of byte strings, beside the SQL tables and apart from them. Every
 * operation on one key is linearizable; a write that had to be retried took effect once. Puts its keys under
 * `kvPrefix` and takes the prefix off again; everything else is the router's work.
 */
import {
  asBuffer,
  type Clock,
  compareBytes,
  concatBytes,
  DbError,
  emptyBytes,
  keyBytesMax,
  kvPrefix,
  type Prng,
  prefixSpan,
  type Span,
  valueBytesMax,
} from '@flotilla/base';
import type { KvRow, OperationOptions, Router, WriteCondition } from '@flotilla/router';
import { type BytesLike, toBytes } from './bytes-like.ts';
import { backOff } from './retry.ts';

/** Longest key. Unit: bytes. */
export const kvKeyBytesMax: number = keyBytesMax - kvPrefix.length;

/** One key with its newest value. */
export class KvEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** Names this value of this key: pass it as `ifVersion`. Larger than every earlier version of the key; never 0. */
  readonly version: number;

  constructor(key: Uint8Array, value: Uint8Array, version: number) {
    this.key = key;
    this.value = value;
    this.version = version;
  }

  /** The value as UTF-8 text. */
  text(): string {
    return asBuffer(this.value).toString('utf8');
  }

  /** The key as UTF-8 text. */
  keyText(): string {
    return asBuffer(this.key).toString('utf8');
  }
}

export interface KvWriteOptions extends OperationOptions {
  /** Write only if the key has no value. Not together with `ifVersion`. */
  readonly ifAbsent?: boolean;
  /** Write only if the key's newest version is this one; 0 = only if it has no value. */
  readonly ifVersion?: number;
}

export type KvWriteResult =
  | { readonly applied: true; readonly version: number }
  /** The condition did not hold. `foundVersion` is the version that is there, 0 = none. */
  | { readonly applied: false; readonly foundVersion: number };

export interface KvUpdateOptions extends OperationOptions {
  /** How often the function is run again because somebody else has written meanwhile. Default: 10. */
  readonly retries?: number;
}

/** What `update` has left behind. */
export interface KvUpdateResult {
  /** The value that is there now; undefined = none. */
  readonly value: Uint8Array | undefined;
  /** Of that value; 0 = none. */
  readonly version: number;
  /** How often the function was run again. */
  readonly retries: number;
}

export interface KvScanOptions extends OperationOptions {
  /** Only keys that begin with this. Together with `start` and `end`: keys that satisfy all. */
  readonly prefix?: BytesLike;
  /** Inclusive. Default: the first key. */
  readonly start?: BytesLike;
  /** Exclusive. Default: after the last key. */
  readonly end?: BytesLike;
  /** At most this many entries. A safe integer >= 0. Default: no limit. */
  readonly limit?: number;
  /** From the last key to the first. */
  readonly reverse?: boolean;
}

/**
 * Errors of all methods: DbError with code TIMEOUT, UNAVAILABLE, CANCELLED, INVALID_ARGUMENT, TOO_LARGE, CLOSED
 * (`outcome: 'not_applied'`: surely nothing was written), and from writes OUTCOME_UNKNOWN (`outcome: 'unknown'`: the
 * write may have been made, or may still be made before long).
 */
export interface Kv {
  /** The newest entry, or undefined. */
  get(key: BytesLike, options?: OperationOptions): Promise<KvEntry | undefined>;
  /** As `get` for many keys, in their order, with one request per range. Not one instant for all. */
  getMany(
    keys: readonly BytesLike[],
    options?: OperationOptions,
  ): Promise<readonly (KvEntry | undefined)[]>;
  /** Writes the value, or, with a condition that does not hold, nothing: see the result. */
  put(key: BytesLike, value: BytesLike, options?: KvWriteOptions): Promise<KvWriteResult>;
  /** Deletes the key; it is no error if it is absent. `ifAbsent` makes no sense here and is refused. */
  delete(key: BytesLike, options?: KvWriteOptions): Promise<KvWriteResult>;
  /**
   * Reads the entry, asks what it is to become, and writes that on condition that it is still what was read; else once
   * more, from the start. `change` gives the new value, null to delete it, undefined to leave it as it is; it must do
   * nothing that cannot be done twice. @throws DbError CONFLICT when the retries are used up; what `change` throws. After
   * OUTCOME_UNKNOWN it is not run again.
   */
  update(
    key: BytesLike,
    change: (
      entry: KvEntry | undefined,
    ) => BytesLike | null | undefined | Promise<BytesLike | null | undefined>,
    options?: KvUpdateOptions,
  ): Promise<KvUpdateResult>;
  /**
   * Entries in key order as they arrive, a batch of them in memory; `break` ends the scan.
   * Each batch of a range is one instant; the whole scan is not.
   */
  scan(options?: KvScanOptions): AsyncIterable<KvEntry>;
}

/** For pauses between retries, and their jitter. */
export interface KvPace {
  readonly clock: Clock;
  readonly prng: Prng;
}

export function createKv(router: Router, pace: KvPace): Kv {
  return new RouterKv(router, pace);
}

const updateRetriesDefault = 10;

class RouterKv implements Kv {
  private readonly router: Router;
  private readonly pace: KvPace;

  constructor(router: Router, pace: KvPace) {
    this.router = router;
    this.pace = pace;
  }

  async get(key: BytesLike, options?: OperationOptions): Promise<KvEntry | undefined> {
    const [entry] = await this.getMany([key], options);
    return entry;
  }

  async getMany(
    keys: readonly BytesLike[],
    options?: OperationOptions,
  ): Promise<readonly (KvEntry | undefined)[]> {
    if (keys.length === 0) return [];
    const stored = keys.map(storedKey);
    const found = await this.router.get(stored, options);
    return stored.map((key, index) => {
      const value = found[index];
      return value === undefined ? undefined : toEntry({ key, ...value });
    });
  }

  async put(
    key: BytesLike,
    value: BytesLike,
    options: KvWriteOptions = {},
  ): Promise<KvWriteResult> {
    const bytes = toBytes(value, 'a value');
    if (bytes.length > valueBytesMax)
      throw new DbError('TOO_LARGE', `a value has at most ${valueBytesMax} bytes`);
    return this.write({ kind: 'put', key: storedKey(key), value: bytes }, options);
  }

  async delete(key: BytesLike, options: KvWriteOptions = {}): Promise<KvWriteResult> {
    if (options.ifAbsent)
      throw new DbError('INVALID_ARGUMENT', 'an absent key cannot be deleted: drop ifAbsent');
    return this.write({ kind: 'delete', key: storedKey(key) }, options);
  }

  async update(
    key: BytesLike,
    change: Parameters<Kv['update']>[1],
    options: KvUpdateOptions = {},
  ): Promise<KvUpdateResult> {
    const { retries: retriesMax = updateRetriesDefault, ...rest } = options;
    for (let retries = 0; ; retries++) {
      const entry = await this.get(key, rest);
      const next = await change(entry);
      const ifVersion = entry?.version ?? 0;
      if (next === undefined || (next === null && entry === undefined))
        return { value: entry?.value, version: ifVersion, retries };
      const written =
        next === null
          ? await this.delete(key, { ...rest, ifVersion })
          : await this.put(key, next, { ...rest, ifVersion });
      if (written.applied)
        return next === null
          ? { value: undefined, version: 0, retries }
          : { value: toBytes(next, 'a value'), version: written.version, retries };
      if (retries >= retriesMax)
        throw new DbError('CONFLICT', `others wrote the key ${retries + 1} times meanwhile`);
      await backOff(this.pace, retries);
    }
  }

  async *scan(options: KvScanOptions = {}): AsyncIterable<KvEntry> {
    const { limit } = options;
    if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0))
      throw new DbError('INVALID_ARGUMENT', 'limit is a safe integer >= 0');
    const span = scanSpan(options);
    if (span === undefined || limit === 0) return;
    const { timeoutMs, signal, reverse } = options;
    const batches = this.router.scan(span, {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(signal === undefined ? {} : { signal }),
      ...(reverse === undefined ? {} : { reverse }),
      ...(limit === undefined ? {} : { limit }),
    });
    for await (const batch of batches) for (const row of batch) yield toEntry(row);
  }

  private async write(
    mutation:
      | { readonly kind: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
      | { readonly kind: 'delete'; readonly key: Uint8Array },
    options: KvWriteOptions,
  ): Promise<KvWriteResult> {
    const outcome = await this.router.write(
      { conditions: conditionsOf(mutation.key, options), mutations: [mutation], deleteSpans: [] },
      options,
    );
    return outcome.applied
      ? { applied: true, version: outcome.timestamp }
      : { applied: false, foundVersion: outcome.foundTimestamp };
  }
}

function conditionsOf(key: Uint8Array, options: KvWriteOptions): readonly WriteCondition[] {
  const { ifAbsent, ifVersion } = options;
  if (ifVersion === undefined) return ifAbsent ? [{ kind: 'absent', key }] : [];
  if (ifAbsent) throw new DbError('INVALID_ARGUMENT', 'ifAbsent or ifVersion, not both');
  if (!(Number.isSafeInteger(ifVersion) && ifVersion >= 0))
    throw new DbError('INVALID_ARGUMENT', 'ifVersion is a version, or 0 for "absent"');
  return [{ kind: 'unchanged', key, timestamp: ifVersion }];
}

export function storedKey(key: BytesLike): Uint8Array {
  const bytes = toBytes(key, 'a key');
  if (bytes.length > kvKeyBytesMax)
    throw new DbError('TOO_LARGE', `a key has at most ${kvKeyBytesMax} bytes`);
  return concatBytes(kvPrefix, bytes);
}

function toEntry(row: KvRow): KvEntry {
  return new KvEntry(row.key.subarray(kvPrefix.length), row.value, row.timestamp);
}

/** @returns undefined where no key can lie */
export function scanSpan(options: KvScanOptions): Span | undefined {
  const { prefix, start, end } = options;
  let { startKey, endKey } = prefixSpan(
    concatBytes(kvPrefix, prefix === undefined ? emptyBytes : toBytes(prefix, 'a prefix')),
  );
  if (start !== undefined) startKey = larger(startKey, storedKey(start));
  if (end !== undefined) endKey = smaller(endKey, storedKey(end));
  return compareBytes(startKey, endKey) < 0 ? { startKey, endKey } : undefined;
}

function larger(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareBytes(a, b) >= 0 ? a : b;
}

function smaller(a: Uint8Array, b: Uint8Array): Uint8Array {
  return compareBytes(a, b) <= 0 ? a : b;
}
