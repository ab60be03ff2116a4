/** Scans of transactions at the leaseholder: rows of a snapshot, or what a program makes of them. */
import type { flotilla } from '../../gen/kv.js';
import { programRefused } from '../evaluation/evaluated-reads.ts';
import type { Answer } from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import { scanWorkOf } from '../split/request-work.ts';
import { nameOf } from '../state/transaction-rows.ts';
import { VersionScan } from '../transaction/version-scan.ts';
import { beforeObstacle, resumeAfter, resumeAt } from './free-part.ts';
import { answerOfSnapshot, answerWithout, snapshotOf } from './leaseholder-snapshot.ts';
import type { Outcome, Read, ReadAttempts } from './read-attempts.ts';
import { goneMeanwhile, type ScanRequest, scanBounds, spanOf } from './read-bounds.ts';
import { obstaclesIn } from './read-obstacles.ts';
import type { Reads, ReadsOptions } from './reads.ts';
import { outcomeOf } from './scan-outcome.ts';

type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;
const noBytes = Buffer.alloc(0);

export class TransactionScans {
  private readonly options: ReadsOptions;
  private readonly reads: Reads;
  private readonly attempts: ReadAttempts;

  constructor(options: ReadsOptions, reads: Reads, attempts: ReadAttempts) {
    this.options = options;
    this.reads = reads;
    this.attempts = attempts;
  }

  /** One try on the state of this moment. */
  attempt(
    read: Read,
    leaseholder: Leaseholder,
    request: ScanRequest,
    header: TransactionHeader,
  ): Outcome {
    const { caller, replica } = read;
    const { engine, limits, protectedSnapshots, onFatal } = this.options;
    const span = spanOf(request);
    const refused = this.reads.checkScan(replica, span);
    if (refused !== undefined) return { kind: 'refused', answer: refused };
    const snapshot = snapshotOf(leaseholder, header, { askedAt: read.askedAt, protectedSnapshots });
    if (!('transaction' in snapshot)) return { kind: 'refused', answer: snapshot };
    const program = this.reads.evaluation.programOf(request);
    if (program === 'refused') return { kind: 'refused', answer: programRefused() };
    const { transaction, readTimestamp, uncertaintyLimit } = snapshot;
    const { memory } = leaseholder;
    const reverse = request.reverse === true;
    const within = { transaction, upTo: uncertaintyLimit, reverse };
    const obstacles = obstaclesIn(leaseholder, span, within);
    const free = beforeObstacle(span, obstacles, reverse);
    if (free.span === undefined) return free.obstacle;
    const { space } = replica;
    const scan = new VersionScan({
      engine,
      space,
      span: free.span,
      reverse,
      readTimestamp,
      uncertaintyLimit,
      withDeleted: memory.lastDeletion > readTimestamp,
      ...scanBounds(request, limits),
      chunkRows: limits.scanChunkRows,
      work: scanWorkOf(this.options.load, replica.rangeId, caller.clientId),
    });
    const { startKey, endKey } = free.span;
    memory.reads.bumpSpan(nameOf(startKey), nameOf(endKey), readTimestamp, transaction);
    const run = async (): Promise<Answer | undefined> => {
      const result = await outcomeOf(scan, program, this.reads.evaluation);
      const gone = goneMeanwhile(replica, space, free.span);
      if (gone !== undefined) return gone;
      if (result.kind !== 'found') return answerWithout(result);
      const { found, complete, last } = result;
      if (!complete && last !== undefined)
        return answerOfSnapshot(resumeAfter(found, last, reverse), snapshot);
      const whole = answerOfSnapshot({ scan: { ...found, resumeKey: noBytes } }, snapshot);
      const { obstacle } = free;
      if (obstacle === undefined) return whole;
      if (last !== undefined) return resumeAt(whole, obstacle, reverse);
      return this.attempts.wait(read, obstacle);
    };
    return {
      kind: 'taken',
      finish: () => this.reads.runScan(caller, run),
      cancel: () => void scan.close().catch(onFatal),
    };
  }
}
