/**
 * The key-value half of the SDK: an ordered map of byte strings, beside the SQL tables and apart from them. Every
 * operation on one key is linearizable; a write that had to be retried took effect once. Puts its keys under
 * `kvPrefix` and takes the prefix off again; everything else is the router's work.
 */
import {
  asBuffer,
  compareBytes,
  concatBytes,
  DbError,
  emptyBytes,
  keyBytesMax,
  kvPrefix,
  prefixSpan,
  type Span,
  valueBytesMax,
} from '@flotilla/base';
import type { KvRow, OperationOptions, Router, WriteCondition } from '@flotilla/router';
import { type BytesLike, toBytes } from './bytes-like.ts';

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
  /** Entries in key order as they arrive. Each batch of a range is one instant; the whole scan is not. */
  scan(options?: KvScanOptions): AsyncIterable<KvEntry>;
}

export function createKv(router: Router): Kv {
  return new RouterKv(router);
}

class RouterKv implements Kv {
  private readonly router: Router;

  constructor(router: Router) {
    this.router = router;
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
