/**
 * Gets and scans of transactions, at the leaseholder alone: snapshots at a timestamp, and newest versions under a lock. A
 * snapshot is served only when nothing of its time is still to come: intents and writes on their way are waited for, and the
 * read-timestamp cache keeps later ones above it.
 */
import type { flotilla } from '../../gen/kv.js';
import { programRefused } from '../evaluation/evaluated-reads.ts';
import type { ReadProgram } from '../evaluation/read-programs.ts';
import type { Answer, Caller } from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import type { Replica } from '../replica/replica.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { nameOf } from '../state/transaction-rows.ts';
import {
  answerOfSnapshot,
  answerWithout,
  type Snapshot,
  snapshotOf,
} from './leaseholder-snapshot.ts';
import { LockedGets, locks } from './locked-gets.ts';
import { type Outcome, type Read, ReadAttempts } from './read-attempts.ts';
import { checkKeys, invalidId, type ScanRequest } from './read-bounds.ts';
import { announcedOn, obstacleOn } from './read-obstacles.ts';
import type { Reads, ReadsOptions } from './reads.ts';
import { type SnapshotValues, valuesAt } from './snapshot-values.ts';
import { TransactionScans } from './transaction-scans.ts';

type GetRequest = flotilla.kv.GetRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const noBytes = Buffer.alloc(0);

export class TransactionReads {
  private readonly options: ReadsOptions;
  private readonly reads: Reads;
  private readonly attempts: ReadAttempts;
  private readonly locked: LockedGets;
  private readonly scans: TransactionScans;

  constructor(options: ReadsOptions, reads: Reads) {
    this.options = options;
    this.reads = reads;
    const attempts = new ReadAttempts(options, reads);
    this.attempts = attempts;
    this.locked = new LockedGets(options, reads, attempts);
    this.scans = new TransactionScans(options, reads, attempts);
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  get(
    caller: Caller,
    replica: Replica,
    request: GetRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (header.id?.length !== transactionIdBytes) return invalidId();
    return this.attempts.begin(
      caller,
      replica,
      locks(request)
        ? (read, leaseholder) => this.locked.attempt(read, leaseholder, request, header)
        : (read, leaseholder) => this.tryGet(read, leaseholder, request, header),
    );
  }

  /** @returns as `get` */
  scan(
    caller: Caller,
    replica: Replica,
    request: ScanRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (header.id?.length !== transactionIdBytes) return invalidId();
    return this.attempts.begin(caller, replica, (read, leaseholder) =>
      this.scans.attempt(read, leaseholder, request, header),
    );
  }

  private tryGet(
    read: Read,
    leaseholder: Leaseholder,
    request: GetRequest,
    header: TransactionHeader,
  ): Outcome {
    const { caller, replica } = read;
    const { engine, limits, answers, protectedSnapshots, onFatal } = this.options;
    const all = request.keys ?? [];
    const refused = checkKeys(replica, all, limits);
    if (refused !== undefined) return { kind: 'refused', answer: refused };
    const snapshot = snapshotOf(leaseholder, header, { askedAt: read.askedAt, protectedSnapshots });
    if (!('transaction' in snapshot)) return { kind: 'refused', answer: snapshot };
    const program = this.reads.evaluation.programOf(request);
    if (program === 'refused') return { kind: 'refused', answer: programRefused() };
    const firstWillDo = program !== undefined;
    const busy = firstWillDo ? this.reads.checkRoom() : undefined;
    if (busy !== undefined) return { kind: 'refused', answer: busy };
    const keys = firstWillDo ? all.slice(0, limits.programKeysMax) : all;
    const { transaction, readTimestamp, uncertaintyLimit } = snapshot;
    const { memory } = leaseholder;
    const announced: (Buffer | undefined)[] = [];
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] ?? noBytes;
      const waits = obstacleOn(leaseholder, key, transaction, uncertaintyLimit);
      if (waits === undefined) continue;
      const intent = announcedOn(leaseholder, key, transaction);
      if (intent === undefined) return waits;
      announced[i] = encodeStored(intent.key, intent.timestamp, intent.value);
    }
    const { lastDeletion } = memory;
    const found = valuesAt({
      engine,
      limits,
      replica,
      keys,
      snapshot,
      lastDeletion,
      announced,
      firstWillDo,
    });
    if (found.kind !== 'values') return { kind: 'refused', answer: answerWithout(found) };
    const { values, older } = found;
    for (const key of keys) memory.reads.bumpKey(nameOf(key), readTimestamp, transaction);
    if (program !== undefined) {
      const run = () => this.evaluated(keys, found, program, snapshot);
      return { kind: 'taken', finish: () => this.reads.runScan(caller, run) };
    }
    const answer = answerOfSnapshot({ get: { values } }, snapshot);
    if (older === undefined) return { kind: 'taken', finish: () => answers.send(caller, answer) };
    const complete = async (): Promise<Answer> => {
      const why = await older();
      return why === undefined ? answer : answerWithout(why);
    };
    return {
      kind: 'taken',
      finish: () => void complete().then((whole) => answers.send(caller, whole), onFatal),
    };
  }

  private async evaluated(
    keys: readonly Uint8Array[],
    { values, older }: SnapshotValues & { readonly kind: 'values' },
    program: ReadProgram,
    snapshot: Snapshot,
  ): Promise<Answer> {
    const why = await older?.();
    if (why !== undefined) return answerWithout(why);
    const answer = await this.reads.evaluation.ofValues(keys, values, program);
    return answer.refusal ? answer : answerOfSnapshot(answer, snapshot);
  }
}
