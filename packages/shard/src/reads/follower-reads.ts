/**
 * Snapshots at replicas that do not lead, at timestamps that are closed there: nothing at or below them is still to come but
 * what intents say, so nobody is asked. Every question that cannot be answered for certain is refused with NOT_CLOSED, and
 * the leaseholder answers it: the timestamp is not closed as far as this replica has applied, or an intent of that time is in
 * the way, whose outcome only its record knows. Rows and intents are taken in one moment; what is read later is older
 * versions, which do not change, as long as the replica keeps its bounds and its storage.
 */
import { type HybridLogicalClock, probe, type Span } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { ClosedTimestamps } from '../closed/closed-timestamps.ts';
import { programRefused } from '../evaluation/evaluated-reads.ts';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';
import { scanWorkOf } from '../split/request-work.ts';
import { namesWithin, orderedByName } from '../state/ordered-by-name.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import { bytesOfName, nameOf } from '../state/transaction-rows.ts';
import { VersionScan } from '../transaction/version-scan.ts';
import { beforeObstacle, resumeAfter, resumeAt } from './free-part.ts';
import {
  checkKeys,
  goneMeanwhile,
  invalidId,
  type ScanRequest,
  scanBounds,
  spanOf,
} from './read-bounds.ts';
import type { Reads, ReadsOptions } from './reads.ts';
import { outcomeOf } from './scan-outcome.ts';
import { refuseTooOld } from './snapshot-age.ts';
import { type NoValues, valuesAt } from './snapshot-values.ts';

type GetRequest = flotilla.kv.GetRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

interface Snapshot {
  readonly readTimestamp: number;
  /** Versions above the snapshot and up to here are uncertain. */
  readonly uncertaintyLimit: number;
}

const noBytes = Buffer.alloc(0);
const noIntents = orderedByName<never>();

export class FollowerReads {
  private readonly options: ReadsOptions;
  private readonly reads: Reads;
  private readonly hlc: HybridLogicalClock;
  private readonly closed: ClosedTimestamps;
  /** Since the process began. */
  served = 0;
  refused = 0;

  constructor(
    options: ReadsOptions,
    { reads, hlc, closed }: { reads: Reads; hlc: HybridLogicalClock; closed: ClosedTimestamps },
  ) {
    this.options = options;
    this.reads = reads;
    this.hlc = hlc;
    this.closed = closed;
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  get(
    caller: Caller,
    replica: Replica,
    request: GetRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (request.lock) return replica.notLeaseholder();
    const all = request.keys ?? [];
    const { engine, limits, answers, onFatal } = this.options;
    const refused = checkKeys(replica, all, limits);
    if (refused !== undefined) return refused;
    const snapshot = this.snapshotOf(replica, header);
    if (!('uncertaintyLimit' in snapshot)) return snapshot;
    const program = this.reads.evaluation.programOf(request);
    if (program === 'refused') return programRefused();
    const firstWillDo = program !== undefined;
    const busy = firstWillDo ? this.reads.checkRoom() : undefined;
    if (busy !== undefined) return busy;
    const keys = firstWillDo ? all.slice(0, limits.programKeysMax) : all;
    const { readTimestamp, uncertaintyLimit } = snapshot;
    const { intents } = replica.transactions;
    if (intents.size > 0)
      for (const key of keys)
        if ((intents.get(nameOf(key))?.timestamp ?? Infinity) <= uncertaintyLimit)
          return this.behind(replica, 'an intent is in the way');
    const { lastDeletion } = replica;
    const found = valuesAt({ engine, limits, replica, keys, snapshot, lastDeletion, firstWillDo });
    if (found.kind !== 'values') return this.without(replica, found);
    const { values, older } = found;
    if (program !== undefined) {
      this.reads.runScan(caller, async () => {
        const why = await older?.();
        if (why !== undefined) return this.without(replica, why);
        const answer = await this.reads.evaluation.ofValues(keys, values, program);
        return answer.get ? this.serve({ get: { ...answer.get, readTimestamp } }) : answer;
      });
      return undefined;
    }
    const answer: Answer = { get: { values, readTimestamp } };
    if (older === undefined) return this.serve(answer);
    const complete = async (): Promise<Answer> => {
      const why = await older();
      return why === undefined ? this.serve(answer) : this.without(replica, why);
    };
    complete().then((whole) => answers.send(caller, whole), onFatal);
    return undefined;
  }

  /** @returns as `get` */
  scan(
    caller: Caller,
    replica: Replica,
    request: ScanRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    const { engine, limits } = this.options;
    const span = spanOf(request);
    const refused = this.reads.checkScan(replica, span);
    if (refused !== undefined) return refused;
    const snapshot = this.snapshotOf(replica, header);
    if (!('uncertaintyLimit' in snapshot)) return snapshot;
    const program = this.reads.evaluation.programOf(request);
    if (program === 'refused') return programRefused();
    const { readTimestamp, uncertaintyLimit } = snapshot;
    const reverse = request.reverse === true;
    const obstacle = this.firstIntent(replica, span, { upTo: uncertaintyLimit, reverse });
    const free = beforeObstacle(span, obstacle === undefined ? [] : [obstacle], reverse);
    if (free.span === undefined) return this.behind(replica, 'an intent is in the way');
    const { space } = replica;
    const scan = new VersionScan({
      engine,
      space,
      span: free.span,
      reverse,
      ...snapshot,
      withDeleted: replica.lastDeletion > readTimestamp,
      ...scanBounds(request, limits),
      chunkRows: limits.scanChunkRows,
      work: scanWorkOf(this.options.load, replica.rangeId, caller.clientId),
    });
    this.reads.runScan(caller, async () => {
      const result = await outcomeOf(scan, program, this.reads.evaluation);
      const gone = goneMeanwhile(replica, space, free.span);
      if (gone !== undefined) return gone;
      if (result.kind !== 'found') return this.without(replica, result);
      const { found, complete, last } = result;
      if (!complete && last !== undefined)
        return this.serve(resumeAfter(found, last, reverse), readTimestamp);
      const whole: Answer = { scan: { ...found, resumeKey: noBytes } };
      if (obstacle === undefined) return this.serve(whole, readTimestamp);
      if (last === undefined) return this.behind(replica, 'an intent is in the way');
      return this.serve(resumeAt(whole, obstacle, reverse), readTimestamp);
    });
    return undefined;
  }

  private snapshotOf(replica: Replica, header: TransactionHeader): Snapshot | Answer {
    const readTimestamp = header.readTimestamp ?? 0;
    const uncertaintyLimit = Math.max(readTimestamp, header.uncertaintyLimit ?? 0);
    if (header.id?.length !== transactionIdBytes) return invalidId();
    if (!Number.isSafeInteger(readTimestamp) || !Number.isSafeInteger(uncertaintyLimit))
      return refusal(RefusalReason.INVALID, 'not a timestamp');
    if (readTimestamp <= 0) return this.behind(replica, 'it picks no snapshots');
    if (uncertaintyLimit > this.closed.closedAt(replica))
      return this.behind(replica, 'the timestamp is not closed');
    const { limits, protectedSnapshots } = this.options;
    const reach = { historyTtlMs: limits.historyTtlMs, protectedSnapshots };
    const tooOld = refuseTooOld(readTimestamp, this.hlc.now(), this.hlc, reach);
    return tooOld ?? { readTimestamp, uncertaintyLimit };
  }

  private firstIntent(
    replica: Replica,
    span: Span,
    { upTo, reverse }: { readonly upTo: number; readonly reverse: boolean },
  ): { readonly key: Uint8Array } | undefined {
    const { intents } = replica.transactions;
    if (intents.size === 0) return undefined;
    for (const name of namesWithin(span, [intents, noIntents], reverse))
      if ((intents.get(name)?.timestamp ?? Infinity) <= upTo) return { key: bytesOfName(name) };
    return undefined;
  }

  private serve(answer: Answer, readTimestamp?: number): Answer {
    probe('closedFollowerRead');
    this.served++;
    return readTimestamp === undefined ? answer : { scan: { ...answer.scan, readTimestamp } };
  }

  private without(replica: Replica, why: NoValues): Answer {
    return why.kind === 'uncertain' ? this.behind(replica, 'a version is uncertain') : why.answer;
  }

  private behind(replica: Replica, message: string): Answer {
    probe('followerReadNotClosed');
    this.refused++;
    return refusal(RefusalReason.NOT_CLOSED, message, { ranges: [replica.info()] });
  }
}
