/**
 * Gets and scans. The order is the point (consensus rule L4): a leaseholder takes the value, then checks the lease; or
 * lets a quorum confirm, then takes the value. Never check, then read. A follower has no lease: it asks the leader for a
 * read point, waits until it has applied that far, then takes the value.
 */
import {
  type Clock,
  compareBytes,
  keyBytesMax,
  keySuccessor,
  probe,
  spanContains,
  spanContainsSpan,
} from '@flotilla/base';
import type { MultiRaft, ReadGrant } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import type { Engine, EngineIterator } from '../engine/engine.ts';
import type { StoreLimits } from '../limits.ts';
import {
  type Answer,
  type Answers,
  type Caller,
  RefusalReason,
  refusal,
} from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';
import { userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';

export interface ReadsOptions {
  readonly engine: Engine;
  readonly consensus: Pick<MultiRaft, 'leaseValid' | 'readBarrier'>;
  readonly clock: Clock;
  readonly answers: Answers;
  readonly limits: StoreLimits;
  readonly onFatal: (error: unknown) => void;
}

type ScanRequest = flotilla.kv.ScanRequest.$Properties;
type AfterBarrier = (grant: ReadGrant) => void;

const noBytes = Buffer.alloc(0);

export class Reads {
  private readonly options: ReadsOptions;
  /** Reads of this turn that wait for one confirmation per range. */
  private readonly waiting = new Map<Replica, AfterBarrier[]>();
  private scans = 0;

  constructor(options: ReadsOptions) {
    this.options = options;
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  get(caller: Caller, replica: Replica, keys: readonly Uint8Array[]): Answer | undefined {
    const { answers, limits, consensus } = this.options;
    if (keys.length > limits.getKeysMax)
      return tooLarge(`a get names at most ${limits.getKeysMax} keys`);
    for (const key of keys)
      if (key.length > keyBytesMax) return tooLarge(`a key exceeds ${keyBytesMax} bytes`);
    const outside = outsideOf(replica, keys);
    if (outside !== undefined) return outside;
    if (replica.leaseholder !== undefined) {
      const values = this.valuesOf(replica, keys);
      if (consensus.leaseValid(replica.rangeId)) return values;
    }
    this.afterBarrier(caller, replica, () => {
      const outside = outsideOf(replica, keys);
      answers.send(caller, outside ?? this.valuesOf(replica, keys));
    });
    return undefined;
  }

  /** @returns as `get` */
  scan(caller: Caller, replica: Replica, request: ScanRequest): Answer | undefined {
    const { limits, consensus } = this.options;
    const span = { startKey: request.startKey ?? noBytes, endKey: request.endKey ?? noBytes };
    if (compareBytes(span.startKey, span.endKey) >= 0)
      return refusal(RefusalReason.INVALID, 'the span is empty');
    if (!spanContainsSpan(replica.descriptor, span)) return replica.keyMismatch(span);
    if (this.scans >= limits.scansMax)
      return refusal(RefusalReason.BUSY, 'too many scans', {
        retryAfterMs: limits.busyRetryAfterMs,
      });
    const open = (): EngineIterator =>
      this.options.engine.iterate(replica.space.dataSpan(span.startKey, span.endKey), {
        reverse: request.reverse === true,
      });
    if (replica.leaseholder !== undefined) {
      // The iterator holds the state of this moment: a lease that holds after it vouches for all it will return.
      const iterator = open();
      if (consensus.leaseValid(replica.rangeId)) {
        this.runScan(caller, request, iterator);
        return undefined;
      }
      iterator.close().catch((error: unknown) => this.options.onFatal(error));
    }
    this.afterBarrier(caller, replica, () => {
      if (spanContainsSpan(replica.descriptor, span)) this.runScan(caller, request, open());
      else this.options.answers.send(caller, replica.keyMismatch(span));
    });
    return undefined;
  }

  private runScan(caller: Caller, request: ScanRequest, iterator: EngineIterator): void {
    this.scans++;
    this.collect(request, iterator)
      .then((answer) => this.options.answers.send(caller, answer))
      .catch((error: unknown) => this.options.onFatal(error))
      .finally(() => {
        this.scans--;
      });
  }

  /** Rows up to the limits, in chunks between which the loop turns. */
  private async collect(request: ScanRequest, iterator: EngineIterator): Promise<Answer> {
    const { limits } = this.options;
    const rowsMax = bounded(request.maxRows, limits.scanRowsMax);
    const bytesMax = bounded(request.maxBytes, limits.scanBytesMax);
    const rows: flotilla.kv.Row.$Properties[] = [];
    let bytes = 0;
    let last: Uint8Array | undefined;
    try {
      while (rows.length < rowsMax && bytes < bytesMax) {
        const chunk = await iterator.next(Math.min(limits.scanChunkRows, rowsMax - rows.length));
        if (chunk.length === 0) {
          last = undefined;
          break;
        }
        for (const { key: dataKey, value: stored } of chunk) {
          const key = userKeyOf(dataKey);
          checkStored(key, stored);
          rows.push({ key, value: storedPayload(stored), timestamp: storedTimestamp(stored) });
          bytes += key.length + stored.length;
          last = key;
          if (bytes >= bytesMax) break;
        }
      }
    } finally {
      await iterator.close();
    }
    if (last === undefined) return { scan: { rows, resumeKey: noBytes } };
    return { scan: { rows, resumeKey: request.reverse === true ? last : keySuccessor(last) } };
  }

  private valuesOf(replica: Replica, keys: readonly Uint8Array[]): Answer {
    const { engine, limits } = this.options;
    const found = engine.getMany(keys.map((key) => replica.space.dataKey(key)));
    const values: flotilla.kv.Value.$Properties[] = [];
    let bytes = 0;
    for (let i = 0; i < keys.length; i++) {
      const stored = found[i];
      if (stored === undefined) {
        values.push({});
        continue;
      }
      checkStored(keys[i] ?? noBytes, stored);
      bytes += stored.length;
      values.push({
        present: true,
        value: storedPayload(stored),
        timestamp: storedTimestamp(stored),
      });
    }
    if (bytes > limits.getBytesMax)
      return tooLarge(`the values exceed ${limits.getBytesMax} bytes: ask for fewer keys`);
    return { get: { values } };
  }

  /** One confirmation for all reads of this turn on a range: every one of them arrived before it was asked for. */
  private afterBarrier(caller: Caller, replica: Replica, read: () => void): void {
    const { answers, clock } = this.options;
    let waiters = this.waiting.get(replica);
    if (waiters === undefined) {
      waiters = [];
      this.waiting.set(replica, waiters);
      clock.afterTurn(() => this.askBarrier(replica));
    }
    waiters.push((grant) => {
      if (!grant.ok) answers.send(caller, this.refusedRead(replica, grant.reason));
      else if (caller.deadlineMs <= clock.nowMs())
        answers.send(caller, refusal(RefusalReason.DEADLINE, 'waited too long'));
      else if (replica.isRemoved) answers.send(caller, replica.notLeaseholder());
      else {
        if (replica.leaseholder === undefined) probe('followerRead');
        read();
      }
    });
  }

  private refusedRead(
    replica: Replica,
    reason: (ReadGrant & { readonly ok: false })['reason'],
  ): Answer {
    const { busyRetryAfterMs } = this.options.limits;
    switch (reason) {
      case 'tooManyPending':
        return refusal(RefusalReason.BUSY, 'too many reads wait for confirmation', {
          retryAfterMs: busyRetryAfterMs,
        });
      case 'stopped':
        return refusal(RefusalReason.STOPPING, 'the store is stopping');
      case 'notLeader':
      case 'noSuchGroup':
        return replica.notLeaseholder();
    }
  }

  private askBarrier(replica: Replica): void {
    const waiters = this.waiting.get(replica) ?? [];
    this.waiting.delete(replica);
    this.options.consensus
      .readBarrier(replica.rangeId)
      .then((grant) => {
        for (const waiter of waiters) waiter(grant);
      })
      .catch((error: unknown) => this.options.onFatal(error));
  }
}

function bounded(asked: number | null | undefined, most: number): number {
  return typeof asked === 'number' && asked > 0 ? Math.min(asked, most) : most;
}

/**
 * Why this replica does not answer for one of the keys. Asked again after every wait: a split may have cut the range, and
 * what lies beyond it under the same storage id is another group's by then, as far as this store has heard of it.
 */
function outsideOf(replica: Replica, keys: readonly Uint8Array[]): Answer | undefined {
  for (const key of keys)
    if (!spanContains(replica.descriptor, key))
      return replica.keyMismatch({ startKey: key, endKey: keySuccessor(key) });
  return undefined;
}

function tooLarge(message: string): Answer {
  return refusal(RefusalReason.TOO_LARGE, message);
}
