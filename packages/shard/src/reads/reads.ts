/**
 * Plain gets and scans: the newest committed versions. The order is the point (consensus rule L4): a leaseholder takes the
 * value, then checks the lease; or lets a quorum confirm, then takes the value. Never check, then read. A follower has no
 * lease: it asks the leader for a read point, waits until it has applied that far, then takes the value. A key with an
 * intent on it waits for the outcome, wherever it is read.
 */
import {
  type Clock,
  compareBytes,
  keySuccessor,
  probe,
  type RangeId,
  type Span,
  spanContainsSpan,
} from '@flotilla/base';
import type { MultiRaft } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import type { Engine, EngineIterator } from '../engine/engine.ts';
import { EvaluatedReads } from '../evaluation/evaluated-reads.ts';
import type { ReadPrograms } from '../evaluation/read-programs.ts';
import type { StoreLimits } from '../limits.ts';
import type { ProtectedSnapshots } from '../protocol/snapshot-protection.ts';
import {
  type Answer,
  type Answers,
  busyRefusal,
  type Caller,
  RefusalReason,
  refusal,
} from '../replica/answers.ts';
import { blockedBy } from '../replica/leaseholder.ts';
import { overlayKey } from '../replica/overlay.ts';
import type { Replica } from '../replica/replica.ts';
import type { RangeLoad } from '../split/range-load.ts';
import { scanWorkOf } from '../split/request-work.ts';
import type { ScanWork } from '../split/scan-work.ts';
import { dataKeyOf, userKeyOf } from '../state/storage-keys.ts';
import { checkStored, storedPayload, storedTimestamp } from '../state/stored-value.ts';
import type { Intent } from '../state/transaction-rows.ts';
import { beforeObstacle, resumeAt } from './free-part.ts';
import { ReadBarriers } from './read-barriers.ts';
import { checkKeys, type ScanRequest, scanBounds, spanOf, tooLarge } from './read-bounds.ts';
import { presentValue } from './snapshot-values.ts';

export interface ReadsOptions {
  readonly engine: Engine;
  readonly consensus: Pick<MultiRaft, 'leaseValid' | 'readBarrier'>;
  readonly clock: Clock;
  readonly answers: Answers;
  readonly limits: StoreLimits;
  /** Undefined: none can be run here. */
  readonly programs: ReadPrograms | undefined;
  /** What ranges are asked: scans add to it what they read. */
  readonly load: RangeLoad;
  /** Snapshots that are read for long. Undefined: not known. */
  readonly protectedSnapshots: () => ProtectedSnapshots | undefined;
  readonly onFatal: (error: unknown) => void;
}

/** How far a read has come that could not be answered at once. */
interface Progress {
  /** A quorum has confirmed since the read came. */
  readonly confirmed: boolean;
  /** Monotonic ms: until when it waits for an intent; 0 = it has not waited. */
  readonly waitUntilMs: number;
}

const noBytes = Buffer.alloc(0);
const begins: Progress = { confirmed: false, waitUntilMs: 0 };

export class Reads {
  readonly barriers: ReadBarriers;
  /** Of transactions, here and at followers. */
  readonly evaluation: EvaluatedReads;
  private readonly options: ReadsOptions;
  private scans = 0;

  constructor(options: ReadsOptions) {
    this.options = options;
    this.barriers = new ReadBarriers(options);
    this.evaluation = new EvaluatedReads(options);
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  get(
    caller: Caller,
    replica: Replica,
    keys: readonly Uint8Array[],
    progress: Progress = begins,
  ): Answer | undefined {
    const refused = checkKeys(replica, keys, this.options.limits);
    if (refused !== undefined) return refused;
    const { confirmed } = progress;
    let intent: Intent | undefined;
    if (replica.leaseholder !== undefined || confirmed) {
      if (replica.transactions.intents.size > 0) intent = firstIntent(replica, keys);
      if (intent === undefined) {
        const values = this.valuesOf(replica, keys);
        if (confirmed || this.options.consensus.leaseValid(replica.rangeId)) return values;
      }
    }
    const again = (next: Progress): void =>
      this.sendIfAny(caller, this.get(caller, replica, keys, next));
    if (intent !== undefined) return this.wait(caller, replica, { intent, progress, again });
    this.confirm(caller, replica, progress, again);
    return undefined;
  }

  /**
   * A get of one key of a range that this store leads and that has no intents (`ServedRanges`).
   * @returns undefined: it is for `get` to answer, because the lease is in doubt or the value too large
   */
  getOne(rangeId: RangeId, storageId: number, key: Uint8Array): Answer | undefined {
    const { engine, consensus, limits } = this.options;
    const stored = engine.get(dataKeyOf(storageId, key));
    if (stored !== undefined && stored.length > limits.getBytesMax) return undefined;
    const value = stored === undefined ? {} : presentValue(checkStored(key, stored));
    return consensus.leaseValid(rangeId) ? { get: { values: [value] } } : undefined;
  }

  /** @returns as `get` */
  scan(
    caller: Caller,
    replica: Replica,
    request: ScanRequest,
    progress: Progress = begins,
  ): Answer | undefined {
    const span = spanOf(request);
    const refused = this.checkScan(replica, span);
    if (refused !== undefined) return refused;
    const again = (next: Progress): void =>
      this.sendIfAny(caller, this.scan(caller, replica, request, next));
    const { confirmed } = progress;
    if (replica.leaseholder !== undefined || confirmed) {
      const reverse = request.reverse === true;
      const { intents } = replica.transactions;
      const free = intents.size === 0 ? { span } : beforeObstacle(span, intents.values(), reverse);
      if (free.span === undefined)
        return this.wait(caller, replica, { intent: free.obstacle, progress, again });
      // The iterator holds the state of this moment: a lease that holds after it vouches for all it will return.
      const iterator = this.options.engine.iterate(
        replica.space.dataSpan(free.span.startKey, free.span.endKey),
        { reverse },
      );
      if (confirmed || this.options.consensus.leaseValid(replica.rangeId)) {
        this.runScan(caller, async () => {
          const { load } = this.options;
          const work = scanWorkOf(load, replica.rangeId, caller.clientId);
          const answer = await this.collect(request, iterator, work);
          // Nothing stands before the intent: this read waits for it. Otherwise the next one does.
          if (free.obstacle === undefined || answer.scan?.resumeKey?.length) return answer;
          if ((answer.scan?.rows?.length ?? 0) > 0) return resumeAt(answer, free.obstacle, reverse);
          return this.wait(caller, replica, { intent: free.obstacle, progress, again });
        });
        return undefined;
      }
      iterator.close().catch((error: unknown) => this.options.onFatal(error));
    }
    this.confirm(caller, replica, progress, again);
    return undefined;
  }

  /** Why the span cannot be scanned now. */
  checkScan(replica: Replica, span: Span): Answer | undefined {
    if (compareBytes(span.startKey, span.endKey) >= 0)
      return refusal(RefusalReason.INVALID, 'the span is empty');
    if (!spanContainsSpan(replica.descriptor, span)) return replica.keyMismatch(span);
    return this.checkRoom();
  }

  /** Why there is no room now for one more read of several turns. */
  checkRoom(): Answer | undefined {
    const { limits } = this.options;
    return this.scans >= limits.scansMax ? busyRefusal(limits, 'too many scans') : undefined;
  }

  /** Counts a scan, or a get with a program, while it runs, and sends what it yields. */
  runScan(caller: Caller, run: () => Promise<Answer | undefined>): void {
    this.scans++;
    run()
      .then((answer) => this.sendIfAny(caller, answer))
      .catch((error: unknown) => this.options.onFatal(error))
      .finally(() => {
        this.scans--;
      });
  }

  /** Newest versions. */
  valuesOf(replica: Replica, keys: readonly Uint8Array[]): Answer {
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
      values.push(presentValue(stored));
    }
    if (bytes > limits.getBytesMax)
      return tooLarge(`the values exceed ${limits.getBytesMax} bytes: ask for fewer keys`);
    return { get: { values } };
  }

  private sendIfAny(caller: Caller, answer: Answer | undefined): void {
    if (answer !== undefined) this.options.answers.send(caller, answer);
  }

  private confirm(
    caller: Caller,
    replica: Replica,
    { waitUntilMs }: Progress,
    again: (next: Progress) => void,
  ): void {
    this.barriers.after(caller, replica, () => {
      if (replica.leaseholder === undefined) probe('followerRead');
      again({ confirmed: true, waitUntilMs });
    });
  }

  /** Until the intent is out of the way, at most `intentWaitMs` over all tries of the read. */
  private wait(
    caller: Caller,
    replica: Replica,
    { intent, progress, again }: WaitForIntent,
  ): Answer | undefined {
    const { clock, limits, answers } = this.options;
    const now = clock.nowMs();
    const waitUntilMs =
      progress.waitUntilMs || Math.min(now + limits.intentWaitMs, caller.deadlineMs);
    if (waitUntilMs <= now) return blockedBy(intent);
    replica.leaseholder?.resolveIfAnnounced(intent.key);
    const parked = replica.waitingRoom.park(overlayKey(intent.key), {
      untilMs: waitUntilMs,
      // Whoever leads or follows by then: asked from the beginning.
      retry: () => {
        if (replica.isRemoved) answers.send(caller, replica.notLeaseholder());
        else again({ confirmed: false, waitUntilMs });
      },
      giveUp: () => answers.send(caller, blockedBy(intent)),
    });
    if (parked) return undefined;
    return busyRefusal(limits, 'too many reads wait');
  }

  /** Rows up to the limits, in chunks between which the loop turns. */
  private async collect(
    request: ScanRequest,
    iterator: EngineIterator,
    work: ScanWork,
  ): Promise<Answer> {
    const { limits } = this.options;
    const { rowsMax, bytesMax } = scanBounds(request, limits);
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
          work.add(key, stored.length);
          last = key;
          if (bytes >= bytesMax) break;
        }
      }
    } finally {
      work.end();
      await iterator.close();
    }
    if (last === undefined) return { scan: { rows, resumeKey: noBytes } };
    return { scan: { rows, resumeKey: request.reverse === true ? last : keySuccessor(last) } };
  }
}

interface WaitForIntent {
  readonly intent: Intent;
  readonly progress: Progress;
  readonly again: (next: Progress) => void;
}

function firstIntent(replica: Replica, keys: readonly Uint8Array[]): Intent | undefined {
  for (const key of keys) {
    const intent = replica.transactions.intents.get(overlayKey(key));
    if (intent !== undefined) return intent;
  }
  return undefined;
}
