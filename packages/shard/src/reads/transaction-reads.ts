/**
 * Reads of transactions, at the leaseholder alone: snapshots at a timestamp, newest versions under a lock, refreshes, and
 * what became of a transaction. A snapshot is served only when nothing of its time is still to come: intents and writes on
 * their way are waited for, and the read-timestamp cache keeps later ones above it. As with every read, the value is taken
 * first and the lease checked then; without a lease a quorum confirms, and the value is taken anew.
 */
import { probe, type Span, timestampToWallMs, toTimestamp } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { ProgramSlots } from '../evaluation/program-slots.ts';
import { runProgram } from '../evaluation/run-program.ts';
import type { ScanProgram } from '../evaluation/scan-programs.ts';
import { kv } from '../protocol/index.ts';
import { type Answer, type Caller, RefusalReason, refusal } from '../replica/answers.ts';
import { blockedBy, type Leaseholder } from '../replica/leaseholder.ts';
import type { Attempt } from '../replica/leaseholder-core.ts';
import type { Replica } from '../replica/replica.ts';
import { transactionIdBytes } from '../state/storage-keys.ts';
import { encodeStored } from '../state/stored-value.ts';
import { type Intent, isMarker, nameOf } from '../state/transaction-rows.ts';
import { lockOwnerOf, waitForLock } from '../transaction/obstacles.ts';
import { bumpReads, checkReadChecks } from '../transaction/read-checks.ts';
import { validateReads } from '../transaction/read-validation.ts';
import { VersionScan } from '../transaction/version-scan.ts';
import {
  beforeObstacle,
  checkKeys,
  goneMeanwhile,
  type Reads,
  type ReadsOptions,
  resumeAfter,
  resumeAt,
  type ScanRequest,
  scanBounds,
  spanOf,
} from './reads.ts';
import { refuseTooOld } from './snapshot-age.ts';
import { type NoValues, valuesAt } from './snapshot-values.ts';

type GetRequest = flotilla.kv.GetRequest.$Properties;
type RefreshRequest = flotilla.kv.RefreshRequest.$Properties;
type QueryRequest = flotilla.kv.QueryTransactionRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

const noBytes = Buffer.alloc(0);
/** Announced intents that a scan makes versions when it meets the first of them. */
const resolvedPerScan = 1000;
/** Promised keys that everybody is told who asks what became of a transaction. */
const keysToldUnasked = 100;

/** A read, from its arrival to its answer. */
interface Read {
  readonly caller: Caller;
  readonly replica: Replica;
  /** One try on the state of this moment. */
  readonly attempt: (leaseholder: Leaseholder) => Outcome;
  /** Monotonic ms; 0 = it has not waited. */
  waitUntilMs: number;
  /** The latest snapshot that a quorum can confirm: of when it was asked. 0 = it was not, or too early to count. */
  askedAt: number;
}

type Outcome =
  /** Holds without a lease, or is only a hint. */
  | { readonly kind: 'refused'; readonly answer: Answer }
  /** Something of its time is on its way to this key. */
  | { readonly kind: 'waits'; readonly key: Uint8Array; readonly giveUp: Answer }
  /** Waits in the queue of a lock. */
  | { readonly kind: 'queued'; readonly queue: () => void }
  /** The value is taken: it counts if the lease holds now. */
  | { readonly kind: 'taken'; readonly finish: () => void; readonly cancel?: () => void };

interface Snapshot {
  readonly transaction: string;
  readonly readTimestamp: number;
  readonly uncertaintyLimit: number;
  readonly storeTimestamp: number;
}

type ScanFields = flotilla.kv.ScanResponse.$Properties;

/** What a scan came to. `last` is the last key that counts; undefined: there was none. */
type Found =
  | {
      readonly kind: 'found';
      readonly found: ScanFields;
      readonly last: Uint8Array | undefined;
      readonly complete: boolean;
    }
  | NoValues;

export class TransactionReads {
  private readonly options: ReadsOptions;
  private readonly reads: Reads;
  private readonly slots: ProgramSlots;

  constructor(options: ReadsOptions, reads: Reads) {
    this.options = options;
    this.reads = reads;
    const { programsRunningMax, programsWaitingMax, programWaitMs } = options.limits;
    this.slots = new ProgramSlots(options.clock, {
      runningMax: programsRunningMax,
      waitingMax: programsWaitingMax,
      waitMs: programWaitMs,
    });
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  get(
    caller: Caller,
    replica: Replica,
    request: GetRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (header.id?.length !== transactionIdBytes) return invalidId();
    const keys = request.keys ?? [];
    const locks =
      request.lock === kv.LockMode.LOCK_SHARE || request.lock === kv.LockMode.LOCK_EXCLUSIVE;
    const read: Read = {
      caller,
      replica,
      waitUntilMs: 0,
      askedAt: 0,
      attempt: (leaseholder) =>
        locks
          ? this.tryLockedGet(read, leaseholder, request, header)
          : this.tryGet(read, leaseholder, keys, header),
    };
    return this.serve(read);
  }

  /** @returns as `get` */
  scan(
    caller: Caller,
    replica: Replica,
    request: ScanRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (header.id?.length !== transactionIdBytes) return invalidId();
    const read: Read = {
      caller,
      replica,
      waitUntilMs: 0,
      askedAt: 0,
      attempt: (leaseholder) => this.tryScan(read, leaseholder, request, header),
    };
    return this.serve(read);
  }

  /** @returns as `get` */
  refresh(
    caller: Caller,
    leaseholder: Leaseholder,
    request: RefreshRequest,
    header: TransactionHeader,
  ): Answer | undefined {
    if (header.id?.length !== transactionIdBytes) return invalidId();
    const transaction = nameOf(header.id);
    const attempt: Attempt = {
      caller,
      waitUntilMs: 0,
      evaluate: () => {
        const checks = request.checks ?? [];
        const to = request.to ?? 0;
        const { hlc, limits } = leaseholder.context;
        const checked = checkReadChecks(checks, leaseholder.bounds(), limits.commandConditionsMax);
        if (!checked.ok) return leaseholder.refused(checked);
        if (!Number.isSafeInteger(to) || to < 0 || !hlc.observe(toTimestamp(to)).ok)
          return refusal(RefusalReason.INVALID, 'the timestamp is too far ahead');
        const validation = validateReads(leaseholder, attempt, checks, { upTo: to, transaction });
        if (validation.kind === 'later') return validation.answer;
        if (validation.kind === 'failed') {
          probe('refreshFailed');
          const { index, foundTimestamp } = validation;
          return { refresh: { ok: false, failedCheck: index, foundTimestamp } };
        }
        bumpReads(leaseholder.memory, validation.checks, to, transaction);
        return this.confirmed(caller, leaseholder, { refresh: { ok: true } });
      },
    };
    return leaseholder.begin(attempt);
  }

  /** @returns as `get` */
  query(caller: Caller, leaseholder: Leaseholder, request: QueryRequest): Answer | undefined {
    const id = request.transactionId ?? noBytes;
    const key = request.anchorKey ?? noBytes;
    if (id.length !== transactionIdBytes) return invalidId();
    const transaction = nameOf(id);
    const evaluate = (): Answer | undefined => {
      const { replica, context, memory } = leaseholder;
      const refused = checkKeys(replica as Replica, [key], context.limits);
      if (refused !== undefined) return refused;
      const record = memory.state.records.get(nameOf(key) + transaction);
      const coordinatorAlive = context.live.isAlive(transaction);
      if (record === undefined || isMarker(record))
        return this.confirmed(caller, leaseholder, { queryTransaction: { coordinatorAlive } });
      const { status, commitTimestamp, promisedKeys, writtenAt } = record;
      const keysOmitted = promisedKeys.length > keysToldUnasked && request.withAllKeys !== true;
      const ageMs = Math.max(0, context.hlc.wallMs() - timestampToWallMs(toTimestamp(writtenAt)));
      return this.confirmed(caller, leaseholder, {
        queryTransaction: {
          status,
          commitTimestamp,
          promisedKeys: keysOmitted ? [] : [...promisedKeys],
          keysOmitted,
          ageMs: Math.floor(ageMs),
          coordinatorAlive,
        },
      });
    };
    return leaseholder.begin({ caller, waitUntilMs: 0, evaluate });
  }

  /** The answer rests on what was applied when it was made: it counts if this still is the leader afterwards. */
  private confirmed(caller: Caller, leaseholder: Leaseholder, answer: Answer): Answer | undefined {
    if (leaseholder.context.leaseValid()) return answer;
    const replica = leaseholder.replica as Replica;
    this.reads.barriers.after(caller, replica, () => {
      const { answers } = this.options;
      answers.send(caller, leaseholder.isResigned ? replica.notLeaseholder() : answer);
    });
    return undefined;
  }

  /** @param confirmed the leaseholder that a quorum has confirmed since the read came */
  private serve(read: Read, confirmed?: Leaseholder): Answer | undefined {
    const { caller, replica } = read;
    const { leaseholder } = replica;
    const { clock, consensus, limits } = this.options;
    if (leaseholder === undefined || replica.isRemoved) return replica.notLeaseholder();
    if (caller.deadlineMs <= clock.nowMs())
      return refusal(RefusalReason.DEADLINE, 'waited too long');
    if (confirmed !== undefined && confirmed !== leaseholder) return replica.notLeaseholder();
    if (!leaseholder.isReady) {
      if (confirmed !== undefined)
        return refusal(RefusalReason.BUSY, 'the leaseholder is new', {
          retryAfterMs: limits.busyRetryAfterMs,
        });
      this.confirm(read, leaseholder);
      return undefined;
    }
    const outcome = read.attempt(leaseholder);
    switch (outcome.kind) {
      case 'refused':
        return outcome.answer;
      case 'queued':
        outcome.queue();
        return undefined;
      case 'waits':
        return this.wait(read, outcome.key, outcome.giveUp);
      case 'taken':
        if ((confirmed && read.askedAt > 0) || consensus.leaseValid(replica.rangeId))
          outcome.finish();
        else {
          outcome.cancel?.();
          this.confirm(read, leaseholder);
        }
        return undefined;
    }
  }

  /**
   * A quorum that answers has seen the time of the question, and so has whoever leads next: what is written then is later.
   * The answers may be old when they come, so of a later time than that they say nothing.
   */
  private confirm(read: Read, leaseholder: Leaseholder): void {
    const { caller, replica } = read;
    const { hlc } = leaseholder.context;
    read.askedAt = leaseholder.isReady ? Math.max(hlc.now(), leaseholder.lastTimestamp) : 0;
    this.reads.barriers.after(caller, replica, () =>
      this.sendIfAny(caller, this.serve(read, leaseholder)),
    );
  }

  private wait(read: Read, key: Uint8Array, giveUp: Answer): Answer | undefined {
    const { clock, limits, answers } = this.options;
    const { caller, replica } = read;
    const now = clock.nowMs();
    if (read.waitUntilMs === 0)
      read.waitUntilMs = Math.min(now + limits.intentWaitMs, caller.deadlineMs);
    if (read.waitUntilMs <= now) return giveUp;
    replica.leaseholder?.resolveIfAnnounced(key);
    const parked = replica.waitingRoom.park(nameOf(key), {
      untilMs: read.waitUntilMs,
      retry: () => this.sendIfAny(caller, this.serve(read)),
      giveUp: () => answers.send(caller, giveUp),
    });
    return parked ? undefined : this.busy('too many reads wait');
  }

  private sendIfAny(caller: Caller, answer: Answer | undefined): void {
    if (answer !== undefined) this.options.answers.send(caller, answer);
  }

  /** Which snapshot a read wants, or why it cannot have it. */
  private snapshotOf(
    read: Read,
    leaseholder: Leaseholder,
    header: TransactionHeader,
  ): Snapshot | Answer {
    const { hlc, limits } = leaseholder.context;
    const storeTimestamp = hlc.now();
    const asked = header.readTimestamp ?? 0;
    const transaction = nameOf(header.id ?? noBytes);
    // Above everything that was evaluated here before the read came: nothing is uncertain then.
    const newest = read.askedAt || Math.max(storeTimestamp, leaseholder.lastTimestamp);
    const readTimestamp = asked === 0 ? newest : asked;
    if (!Number.isSafeInteger(asked) || !hlc.observe(toTimestamp(readTimestamp)).ok)
      return refusal(RefusalReason.INVALID, 'the read timestamp is too far ahead');
    const { protectedSnapshots } = this.options;
    const reach = { historyTtlMs: limits.historyTtlMs, protectedSnapshots };
    const tooOld = refuseTooOld(readTimestamp, storeTimestamp, hlc, reach);
    if (tooOld !== undefined) return tooOld;
    const observed = header.observedTimestamp || Infinity;
    const narrowed = Math.min(
      header.uncertaintyLimit ?? 0,
      Math.max(observed, leaseholder.leadsSince),
    );
    const uncertaintyLimit = asked === 0 ? readTimestamp : Math.max(readTimestamp, narrowed);
    leaseholder.memory.watchWrites(leaseholder.lastTimestamp);
    return { transaction, readTimestamp, uncertaintyLimit, storeTimestamp };
  }

  private tryGet(
    read: Read,
    leaseholder: Leaseholder,
    keys: readonly Uint8Array[],
    header: TransactionHeader,
  ): Outcome {
    const { caller, replica } = read;
    const { engine, limits, answers, onFatal } = this.options;
    const refused = checkKeys(replica, keys, limits);
    if (refused !== undefined) return { kind: 'refused', answer: refused };
    const snapshot = this.snapshotOf(read, leaseholder, header);
    if (!('transaction' in snapshot)) return { kind: 'refused', answer: snapshot };
    const { transaction, readTimestamp, uncertaintyLimit } = snapshot;
    const { memory } = leaseholder;
    const announced: (Buffer | undefined)[] = [];
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] ?? noBytes;
      const waits = this.obstacleOn(leaseholder, key, transaction, uncertaintyLimit);
      if (waits === undefined) continue;
      const intent = announcedOn(leaseholder, key, transaction);
      if (intent === undefined) return waits;
      announced[i] = encodeStored(intent.key, intent.timestamp, intent.value);
    }
    const { lastDeletion } = memory;
    const found = valuesAt({ engine, limits, replica, keys, snapshot, lastDeletion, announced });
    if (found.kind !== 'values') return { kind: 'refused', answer: without(found) };
    const { values, older } = found;
    for (const key of keys) memory.reads.bumpKey(nameOf(key), readTimestamp, transaction);
    const answer = answerOfSnapshot({ get: { values } }, snapshot);
    if (older === undefined) return { kind: 'taken', finish: () => answers.send(caller, answer) };
    const complete = async (): Promise<Answer> => {
      const why = await older();
      return why === undefined ? answer : without(why);
    };
    return {
      kind: 'taken',
      finish: () => void complete().then((whole) => answers.send(caller, whole), onFatal),
    };
  }

  private tryScan(
    read: Read,
    leaseholder: Leaseholder,
    request: ScanRequest,
    header: TransactionHeader,
  ): Outcome {
    const { caller, replica } = read;
    const { engine, limits, onFatal } = this.options;
    const span = spanOf(request);
    const refused = this.reads.checkScan(replica, span);
    if (refused !== undefined) return { kind: 'refused', answer: refused };
    const snapshot = this.snapshotOf(read, leaseholder, header);
    if (!('transaction' in snapshot)) return { kind: 'refused', answer: snapshot };
    const program = this.programOf(request);
    if (program === 'refused') return { kind: 'refused', answer: programRefused() };
    const { transaction, readTimestamp, uncertaintyLimit } = snapshot;
    const { memory } = leaseholder;
    const reverse = request.reverse === true;
    const within = { transaction, upTo: uncertaintyLimit, reverse };
    const obstacles = this.obstaclesIn(leaseholder, span, within);
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
    });
    const { startKey, endKey } = free.span;
    memory.reads.bumpSpan(nameOf(startKey), nameOf(endKey), readTimestamp, transaction);
    const run = async (): Promise<Answer | undefined> => {
      const result =
        program === undefined ? await collected(scan) : await this.evaluated(scan, program);
      const gone = goneMeanwhile(replica, space, free.span);
      if (gone !== undefined) return gone;
      if (result.kind !== 'found') return without(result);
      const { found, complete, last } = result;
      if (!complete && last !== undefined)
        return answerOfSnapshot(resumeAfter(found, last, reverse), snapshot);
      const whole = answerOfSnapshot({ scan: { ...found, resumeKey: noBytes } }, snapshot);
      const { obstacle } = free;
      if (obstacle === undefined) return whole;
      if (last !== undefined) return resumeAt(whole, obstacle, reverse);
      return this.wait(read, obstacle.key, obstacle.giveUp);
    };
    return {
      kind: 'taken',
      finish: () => this.reads.runScan(caller, run),
      cancel: () => void scan.close().catch(onFatal),
    };
  }

  private programOf({ program }: ScanRequest): ScanProgram | 'refused' | undefined {
    if (!program?.length) return undefined;
    const { programs, limits } = this.options;
    if (program.length > limits.programBytesMax) return 'refused';
    return programs?.start(program) ?? 'refused';
  }

  /** What the program makes of the scan. */
  private async evaluated(scan: VersionScan, program: ScanProgram): Promise<Found> {
    const { clock, limits } = this.options;
    const outcome = await runProgram(clock, limits, this.slots, { scan, program });
    if (outcome.kind === 'uncertain') return outcome;
    if (outcome.kind === 'refused') return { kind: 'answer', answer: programRefused() };
    const { result, rowsRead, last, complete } = outcome;
    return { kind: 'found', found: { evaluated: true, result, rowsRead }, last, complete };
  }

  private tryLockedGet(
    read: Read,
    leaseholder: Leaseholder,
    request: GetRequest,
    header: TransactionHeader,
  ): Outcome {
    const { caller, replica } = read;
    const { limits, answers } = this.options;
    const keys = request.keys ?? [];
    const refused = checkKeys(replica, keys, limits);
    if (refused !== undefined) return { kind: 'refused', answer: refused };
    const { locks, context } = leaseholder;
    const storeTimestamp = context.hlc.now();
    const owner = lockOwnerOf(header);
    const wish = request.lock === kv.LockMode.LOCK_SHARE ? 'share' : 'exclusive';
    const skips = request.wait === kv.LockWait.LOCK_SKIP_LOCKED;
    const skipped = new Set<number>();
    const announced = new Map<number, Intent>();
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] ?? noBytes;
      const name = nameOf(key);
      const before = locks.holds(name, owner.name);
      if (!locks.take(name, owner, wish)) {
        if (!locks.has(name)) return { kind: 'refused', answer: this.busy('too many locks') };
        if (skips) skipped.add(i);
        else if (request.wait === kv.LockWait.LOCK_NOWAIT)
          return {
            kind: 'refused',
            answer: refusal(RefusalReason.LOCK_NOT_AVAILABLE, 'the key is locked', {
              ...locks.blockers(name, owner, wish),
              key,
            }),
          };
        else return this.queued(read, leaseholder, { name, owner, wish });
        continue;
      }
      const waits = this.obstacleOn(leaseholder, key, owner.name, Infinity);
      if (waits === undefined) continue;
      const intent = announcedOn(leaseholder, key, owner.name);
      if (intent !== undefined) {
        announced.set(i, intent);
        continue;
      }
      if (!skips) return waits;
      if (!before) locks.release(name, owner.name);
      skipped.add(i);
    }
    const answer = this.reads.valuesOf(replica, keys);
    const { get } = answer;
    if (get?.values) {
      for (const i of skipped) get.values[i] = { skipped: true };
      for (const [i, { value, timestamp }] of announced)
        get.values[i] = { present: true, value, timestamp };
      get.storeTimestamp = storeTimestamp;
    }
    return { kind: 'taken', finish: () => answers.send(caller, answer) };
  }

  private queued(
    read: Read,
    leaseholder: Leaseholder,
    lock: Parameters<typeof waitForLock>[2],
  ): Outcome {
    const { caller } = read;
    const attempt: Attempt = { caller, waitUntilMs: 0, evaluate: () => this.serve(read) };
    return { kind: 'queued', queue: () => waitForLock(leaseholder, attempt, lock) };
  }

  /** What is about to become a version of the key at or below `upTo`. */
  private obstacleOn(
    leaseholder: Leaseholder,
    key: Uint8Array,
    transaction: string,
    upTo: number,
  ): (Outcome & { readonly kind: 'waits' }) | undefined {
    const { memory } = leaseholder;
    const name = nameOf(key);
    if (memory.hasIntents) {
      const intent = memory.unsettledIntent(name, transaction, upTo);
      if (intent !== undefined) return { kind: 'waits', key, giveUp: blockedBy(intent) };
    }
    const { overlay } = leaseholder.view();
    if (overlay.size === 0) return undefined;
    // The newest may be above the snapshot, and one that it does not show yet below.
    const first = overlay.firstUnderWay(name);
    if (first === undefined || first > upTo) return undefined;
    return { kind: 'waits', key, giveUp: this.busy('a write of the key is under way') };
  }

  /** As `obstacleOn`, for the keys of a span: the first intent, and the writes under way. */
  private obstaclesIn(
    leaseholder: Leaseholder,
    span: Span,
    of: { readonly transaction: string; readonly upTo: number; readonly reverse: boolean },
  ): readonly (Outcome & { readonly kind: 'waits' })[] {
    const found: (Outcome & { readonly kind: 'waits' })[] = [];
    const announced: Intent[] = [];
    const { memory } = leaseholder;
    for (const intent of memory.unsettledIntents(span, of)) {
      if (found.length === 0)
        found.push({ kind: 'waits', key: intent.key, giveUp: blockedBy(intent) });
      if (!memory.isAnnounced(intent) || announced.push(intent) === resolvedPerScan) break;
    }
    // The first one is waited for: the others go with it, rather than one after the other.
    if (announced.length > 1) for (const { key } of announced) leaseholder.resolveIfAnnounced(key);
    const { overlay } = leaseholder.view();
    if (overlay.size === 0) return found;
    const giveUp = this.busy('a write in the span is under way');
    for (const { key } of overlay.within(span))
      if ((overlay.firstUnderWay(nameOf(key)) ?? Infinity) <= of.upTo)
        found.push({ kind: 'waits', key, giveUp });
    return found;
  }

  private busy(message: string): Answer {
    const { busyRetryAfterMs } = this.options.limits;
    return refusal(RefusalReason.BUSY, message, { retryAfterMs: busyRetryAfterMs });
  }
}

/** An intent on the key that is as good as its newest version. Not a deletion, which leaves no version to show. */
function announcedOn(
  leaseholder: Leaseholder,
  key: Uint8Array,
  transaction: string,
): Intent | undefined {
  const { memory } = leaseholder;
  const name = nameOf(key);
  const intent = memory.unsettledIntent(name, transaction, Infinity);
  if (intent === undefined || intent.isDelete || !memory.isAnnounced(intent)) return undefined;
  // On its way to be that version, perhaps; a later write is not.
  const underWay = leaseholder.view().overlay.get(name);
  return underWay === undefined || underWay.timestamp === intent.timestamp ? intent : undefined;
}

function answerOfSnapshot(
  { get, scan }: Answer,
  { readTimestamp, storeTimestamp }: Snapshot,
): Answer {
  return get
    ? { get: { ...get, readTimestamp, storeTimestamp } }
    : { scan: { ...scan, readTimestamp, storeTimestamp } };
}

async function collected(scan: VersionScan): Promise<Found> {
  const result = await scan.run();
  if (result.kind === 'uncertain') return result;
  const { rows, complete } = result;
  return { kind: 'found', found: { rows }, last: rows.at(-1)?.key ?? undefined, complete };
}

function programRefused(): Answer {
  return refusal(RefusalReason.PROGRAM_REFUSED, 'this store cannot run the program');
}

function without(why: NoValues): Answer {
  return why.kind === 'uncertain' ? uncertain(why.timestamp) : why.answer;
}

function uncertain(timestamp: number): Answer {
  probe('readUncertain');
  return refusal(RefusalReason.UNCERTAIN, 'a version may be older than the transaction', {
    timestamp,
  });
}

function invalidId(): Answer {
  return refusal(RefusalReason.INVALID, 'a transaction id has 16 bytes');
}
