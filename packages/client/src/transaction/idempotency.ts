/**
 * `idempotencyKey` of `db.transaction`: a row under `outcomePrefix`, written in the transaction itself, that says what came
 * of it. Whoever comes with the same key again, also after its process has died, finds the row, or is the first; two at
 * once are in conflict. Called by `run-transaction.ts` alone; commits nothing by itself but the removal of old rows.
 */
import { type Clock, DbError, outcomePrefix, prefixSpan } from '@flotilla/base';
import type { KvDatabase, KvTransaction } from '@flotilla/sql';

/** At least so long a key is known. Unit: ms. */
export const outcomeTtlMs: number = 24 * 60 * 60 * 1000;
/** Longest key, and longest result as JSON. Unit: bytes. */
export const idempotencyKeyBytesMax = 1024;
export const outcomeBytesMax: number = 64 * 1024;

/** Between two looks for rows that are old, while there are such transactions. Unit: ms. */
const sweepEveryMs = 60 * 60 * 1000;
const sweepRows = 500;

interface Outcome {
  /** When it was written, ms since 1970. */
  readonly at: number;
  /** Absent: the function returned undefined. */
  readonly result?: unknown;
}

export class Outcomes {
  private readonly database: KvDatabase;
  private readonly clock: Clock;
  private sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(database: KvDatabase, clock: Clock) {
    this.database = database;
    this.clock = clock;
  }

  /** @returns the row of a key. Throws INVALID_ARGUMENT. */
  keyOf(idempotencyKey: string): Uint8Array {
    const bytes = Buffer.from(idempotencyKey, 'utf8');
    if (bytes.length === 0 || bytes.length > idempotencyKeyBytesMax)
      throw new DbError(
        'INVALID_ARGUMENT',
        `an idempotency key has 1 to ${idempotencyKeyBytesMax} bytes`,
      );
    return Buffer.concat([outcomePrefix, bytes]);
  }

  /** @returns undefined: nothing came of it yet, and the row is claimed: whoever else claims it is in conflict */
  async find(
    transaction: KvTransaction,
    key: Uint8Array,
    signal: AbortSignal,
  ): Promise<{ readonly result: unknown } | undefined> {
    const found = await transaction.get(key, { signal });
    if (found !== undefined) return { result: decode(found).result };
    // A key that is read and written is unchanged at commit, whatever the isolation.
    transaction.put(key, this.encode(undefined));
    return undefined;
  }

  /** Throws INVALID_ARGUMENT, TOO_LARGE: the result cannot be kept. */
  note(transaction: KvTransaction, key: Uint8Array, result: unknown): void {
    transaction.put(key, this.encode(result));
  }

  /** Removes what is old, in the background, now and then. Failures are left to the next time. */
  maybeSweep(): void {
    const now = this.clock.nowMs();
    if (now - this.sweptAtMs < sweepEveryMs) return;
    this.sweptAtMs = now;
    this.sweep().catch((error: unknown) => {
      if (!(error instanceof DbError)) throw error;
    });
  }

  /** @returns how many rows were removed */
  async sweep(): Promise<number> {
    const before = this.clock.wallMs() - outcomeTtlMs;
    let { startKey, endKey } = prefixSpan(outcomePrefix);
    let removed = 0;
    for (;;) {
      const transaction = this.database.begin();
      let seen = 0;
      let old = 0;
      for await (const pairs of transaction.scan({ startKey, endKey }, { limit: sweepRows }))
        for (const { key, value } of pairs) {
          seen++;
          startKey = Buffer.concat([key, Buffer.of(0)]);
          if (decode(value).at >= before) continue;
          transaction.delete(key);
          old++;
        }
      if (old > 0) await transaction.commit();
      else transaction.rollback();
      removed += old;
      if (seen < sweepRows) return removed;
    }
  }

  private encode(result: unknown): Uint8Array {
    const outcome: Outcome = {
      at: this.clock.wallMs(),
      ...(result === undefined ? {} : { result }),
    };
    let text: string;
    try {
      text = JSON.stringify(outcome);
    } catch (cause) {
      throw new DbError('INVALID_ARGUMENT', 'a result that is kept must be JSON', { cause });
    }
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.length > outcomeBytesMax)
      throw new DbError('TOO_LARGE', `a result that is kept has at most ${outcomeBytesMax} bytes`);
    return bytes;
  }
}

function decode(value: Uint8Array): Outcome {
  try {
    const outcome = JSON.parse(Buffer.from(value).toString('utf8')) as Partial<Outcome> | null;
    if (typeof outcome?.at === 'number') return { ...outcome, at: outcome.at };
  } catch {
    // Told below.
  }
  throw new DbError('CORRUPTION', 'the outcome of a transaction cannot be read');
}
