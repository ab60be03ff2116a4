/**
 * What a replica has while it leads its range, and loses with the leadership: writes under way, locks, what was read.
 * Evaluates commands in order, gathers those of one turn into one log entry, answers when the entry has been applied. The
 * rooms beside it say what commands mean: `session-commands.ts`, `write-commands.ts`, `transaction/`.
 *
 * Every conclusion that reaches a client went through the log of this term: successes and failed conditions alike are
 * replicated results, so nothing uncommitted and nothing stale is ever shown, and a late duplicate of a refused command
 * finds the refusal. Evaluation begins when the term's own entry is applied: then everything that earlier leaders may
 * have committed is in the state, and everything later is in the overlay.
 *
 * It also begins no earlier than its writes are surely above what its predecessors served: `take-over.ts`.
 */
import {
  asBuffer,
  assert,
  present,
  probe,
  type Span,
  type Term,
  timestampFromWallMs,
  timestampSpan,
  toTimestamp,
} from '@flotilla/base';
import type { LogEntry } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import { boundsGeneration, descriptorSpan } from '../range-descriptor.ts';
import { bytesOfName, type Intent } from '../state/transaction-rows.ts';
import { LockTable } from '../transaction/lock-table.ts';
import { ReadTimestampCache } from '../transaction/read-timestamp-cache.ts';
import { TransactionCommands } from '../transaction/transaction-commands.ts';
import { TransactionMemory } from '../transaction/transaction-memory.ts';
import { type Answer, answerOf, type Caller, RefusalReason, refusal } from './answers.ts';
import { type Command, type CommandBatch, commandBytes, type RangeSplit } from './command.ts';
import { CommandsUnderWay } from './commands-under-way.ts';
import type { EvaluationView, RequestCheck } from './evaluation.ts';
import type {
  Attempt,
  LeaseholderContext,
  LeaseholderCore,
  LeaseholderReplica,
} from './leaseholder-core.ts';
import { Overlay, overlayKey } from './overlay.ts';
import {
  type PendingBatch,
  type PendingCommand,
  Proposals,
  type SplitOutcome,
} from './proposals.ts';
import { SessionCommands } from './session-commands.ts';
import type { TakeOver } from './take-over.ts';
import { WriteCommands } from './write-commands.ts';

export type { LeaseholderContext, LeaseholderReplica } from './leaseholder-core.ts';

type WriteRequest = flotilla.kv.WriteRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

export class Leaseholder implements LeaseholderCore {
  readonly term: Term;
  readonly replica: LeaseholderReplica;
  readonly context: LeaseholderContext;
  readonly memory: TransactionMemory;
  readonly locks: LockTable;
  readonly underWay: CommandsUnderWay = new CommandsUnderWay();
  readonly transactions: TransactionCommands;
  lastTimestamp = 0;
  /** The store's proposer will come back to it. */
  awaitsProposal = false;
  private readonly overlay = new Overlay();
  private readonly proposals: Proposals;
  private readonly sessions: SessionCommands;
  private readonly writes: WriteCommands;
  private parked: Attempt[] = [];
  private overlayBytes = 0;
  /** Sessions and versions of the range are known: the term's own entry is applied. */
  private ready = false;
  /** All that earlier leaders may have committed is at or before it. */
  private readyIndex = 0;
  /** Writes may come: they will be above whatever was read before. */
  private open = false;
  private openedAt = 0;
  private resigned = false;
  private busyReading = false;
  /** A split is on its way through the log. */
  private splitting = false;

  constructor(
    replica: LeaseholderReplica,
    term: Term,
    context: LeaseholderContext,
    takeOver: TakeOver = { kind: 'unknown' },
  ) {
    this.replica = replica;
    this.term = term;
    this.context = context;
    this.proposals = new Proposals(term, context.limits.entryBytesTarget);
    this.memory = new TransactionMemory(() => replica.transactions);
    const { live, limits, waitingClock, contention } = context;
    this.locks = new LockTable(live, limits, waitingClock, contention);
    this.writes = new WriteCommands(this);
    this.sessions = new SessionCommands(this, this.writes);
    this.transactions = new TransactionCommands(this);
    this.startTakeOver(takeOver);
  }

  get isReady(): boolean {
    return this.ready;
  }

  /** What its predecessors wrote is below it; Infinity: not known yet. */
  get leadsSince(): number {
    return this.open ? this.openedAt : Infinity;
  }

  /** It, and all before it, served nothing above this timestamp so far. 0: not known. */
  servedUpTo(): number {
    return this.open ? Math.max(this.context.hlc.peek(), this.lastTimestamp) : 0;
  }

  get isResigned(): boolean {
    return this.resigned;
  }

  /** Nothing is waiting for an entry to be applied. */
  get idle(): boolean {
    return this.proposals.isEmpty && this.parked.length === 0;
  }

  /** Something waits to be proposed. */
  get hasOpen(): boolean {
    return this.proposals.hasOpen;
  }

  get isOverloaded(): boolean {
    return this.overlayBytes > this.context.limits.overlayBytesMax;
  }

  /** The term's own entry is applied and visible. @param index applied so far */
  becomeReady(index: number): void {
    if (this.ready) return;
    this.ready = true;
    this.readyIndex = index;
    this.lastTimestamp = Math.max(this.lastTimestamp, this.replica.lastTimestamp);
    this.memory.lastDeletion = this.replica.lastDeletion;
    if (this.memory.hasPromises) this.context.onPromise(true);
    this.drainParked();
  }

  /**
   * Promises that nothing which is not yet in the log is at or below `timestamp`, by a clock that was read before.
   * @returns the index of the last entry that may be; undefined: it can promise nothing now
   */
  close(timestamp: number): number | undefined {
    if (!this.ready || !this.open || this.resigned) return undefined;
    // What is evaluated and not in the log has no index yet.
    this.proposeOpen();
    if (this.proposals.hasOpen) return undefined;
    // A transaction so large that its promise takes long would be pushed by this, and again the next time.
    const { closedTimestampHoldMs } = this.context.limits;
    const longAgo = timestamp - timestampSpan(closedTimestampHoldMs);
    if (this.memory.hasIntentWithin(longAgo, timestamp)) return undefined;
    this.memory.reads.raise(timestamp);
    if (!this.context.leaseValid()) return undefined;
    return Math.max(this.readyIndex, this.proposals.lastIndex);
  }

  /** @returns the answer if there is one at once; otherwise it is sent when the log has decided */
  write(
    caller: Caller,
    request: WriteRequest,
    header: TransactionHeader | undefined,
  ): Answer | undefined {
    const attempt: Attempt = {
      caller,
      waitUntilMs: 0,
      evaluate: () => this.sessions.evaluateWrite(attempt, request, header),
    };
    return this.begin(attempt);
  }

  /** @returns as `write` */
  register(caller: Caller, nonce: Uint8Array): Answer | undefined {
    const evaluate = (): Answer | undefined => this.sessions.evaluateRegister(caller, nonce);
    return this.begin({ caller, waitUntilMs: 0, evaluate });
  }

  /** As soon as this leaseholder may evaluate. @returns as `write` */
  begin(attempt: Attempt): Answer | undefined {
    return this.mayEvaluate() ? attempt.evaluate() : this.park(attempt);
  }

  /**
   * A write of the store's own, outside exactly-once: repeated by whoever wants it. False: not now.
   * @param caller hears of it like any other
   */
  internalWrite(request: WriteRequest, caller?: Caller): boolean {
    return this.mayEvaluate() && !this.isOverloaded && this.writes.internal(request, caller);
  }

  /**
   * Proposes to cut the range. From now until the log has decided, everything that arrives is parked: nothing is ever
   * evaluated under bounds that an entry ahead of it changes.
   * @returns false: not now
   */
  split(split: RangeSplit, onDone: (outcome: SplitOutcome) => void): boolean {
    if (!this.mayEvaluate()) return false;
    this.splitting = true;
    const { descriptor } = this.replica;
    this.proposals.addSplit({ split, onDone, tookEffect: false }, boundsGeneration(descriptor));
    this.context.onDirty();
    return true;
  }

  /** Newest value including proposed writes, for internal writes that depend on it. */
  view(): EvaluationView {
    return { engine: this.context.engine, space: this.replica.space, overlay: this.overlay };
  }

  /** End of a turn: what was evaluated goes into the log. What the log does not take now is tried again. */
  proposeOpen(): void {
    // Not the leader any more: the change of role is on its way here and answers everybody.
    if (!this.resigned) this.proposals.proposeOpen(this.context.propose);
  }

  /** The batch that this leaseholder proposed as `entry`, or undefined: the entry is somebody else's. */
  takeProposed(entry: LogEntry): { batch: PendingBatch; commands: CommandBatch } | undefined {
    return this.proposals.take(entry);
  }

  /** Reads see the batch: the overlay lets go and the askers hear. */
  publish(batch: PendingBatch): void {
    if (batch.split !== undefined) {
      batch.split.onDone(batch.split.tookEffect ? 'applied' : 'void');
      this.splitting = false;
      this.drainParked();
      return;
    }
    for (const pending of batch.commands) {
      const { command } = pending;
      for (const { key, versionTimestamp } of command.writes)
        this.overlay.settle(key, versionTimestamp || command.timestamp);
      if (command.intents.length > 0 || command.records.length > 0) this.memory.settle(command);
      this.overlayBytes -= pending.bytes;
      this.underWay.settle(command);
      const answer = pending.answer ?? answerOf(command);
      for (const caller of pending.callers) this.context.answers.send(caller, answer);
    }
    const { waitingRoom } = this.replica;
    if (waitingRoom.size > 0)
      for (const { command } of batch.commands) waitingRoom.wakeKeys(command.writes);
  }

  /** Leadership is gone: proposals may or may not be committed by others, the rest surely did nothing. */
  resign(): void {
    if (this.resigned) return;
    this.resigned = true;
    const unknown = refusal(
      RefusalReason.UNKNOWN_OUTCOME,
      'leadership was lost while the write was under way',
      { ranges: this.replica.notLeaseholder().refusal?.ranges ?? [] },
    );
    const { proposed, open } = this.proposals.abandon();
    this.answerAll(proposed, unknown);
    this.answerAll(open, this.replica.notLeaseholder());
    for (const { split } of proposed) split?.onDone('unknown');
    for (const { split } of open) split?.onDone('abandoned');
    for (const { caller } of this.parked)
      this.context.answers.send(caller, this.replica.notLeaseholder());
    this.parked = [];
    this.overlay.clear();
    this.memory.clear();
    if (this.locks.size > 0) probe('locksLostWithLease');
    this.locks.close();
  }

  /** A read waits for the key. */
  resolveIfAnnounced(key: Uint8Array): void {
    const intent = this.memory.hasIntents ? this.memory.intentOf(overlayKey(key)) : undefined;
    if (intent === undefined || !this.memory.isAnnounced(intent) || !this.mayEvaluate()) return;
    this.resolveAnnounced(intent);
  }

  resolveAnnounced(intent: Intent): void {
    this.transactions.resolveAnnounced(intent);
  }

  /** The range may have become shorter: locks beyond its end are nobody's, and who waits for them hears where to go. */
  onBounds(): void {
    if (this.locks.size > 0) this.locks.dropFrom(this.replica.descriptor.endKey);
  }

  again(attempt: Attempt): void {
    const { caller } = attempt;
    let answer: Answer | undefined;
    if (caller.deadlineMs <= this.context.nowMs())
      answer = refusal(RefusalReason.DEADLINE, 'waited too long');
    else answer = this.begin(attempt);
    if (answer !== undefined) this.context.answers.send(caller, answer);
  }

  waitForIntent(attempt: Attempt, intent: Intent): Answer | undefined {
    const { replica, context } = this;
    const { nowMs, answers, limits } = context;
    const { caller } = attempt;
    if (attempt.waitUntilMs === 0) {
      context.contention.noteWait(overlayKey(intent.key), nowMs());
      attempt.waitUntilMs = Math.min(nowMs() + limits.intentWaitMs, caller.deadlineMs);
    }
    if (attempt.waitUntilMs <= nowMs()) return blockedBy(intent);
    const parked = replica.waitingRoom.park(overlayKey(intent.key), {
      untilMs: attempt.waitUntilMs,
      retry: () => this.again(attempt),
      giveUp: () => answers.send(caller, blockedBy(intent)),
    });
    return parked ? undefined : this.busy();
  }

  alone<Result>(
    caller: Caller,
    read: () => Promise<Result>,
    evaluate: (result: Result) => Answer | undefined,
  ): undefined {
    this.busyReading = true;
    read()
      .then((result) => {
        this.busyReading = false;
        const answer = this.resigned ? this.replica.notLeaseholder() : evaluate(result);
        if (answer !== undefined) this.context.answers.send(caller, answer);
        this.drainParked();
      })
      .catch((error: unknown) => this.context.onFatal(error));
    return undefined;
  }

  append(caller: Caller | undefined, command: Command, answer?: Answer): void {
    // Otherwise it would overwrite what it has not seen.
    assert(command.timestamp === this.lastTimestamp, 'nothing was evaluated in between');
    const bytes = commandBytes(command);
    const pending: PendingCommand = {
      command,
      bytes,
      callers: caller === undefined ? [] : [caller],
      answer,
    };
    for (const { key, value, isDelete, versionTimestamp } of command.writes) {
      const timestamp = versionTimestamp || command.timestamp;
      const name = overlayKey(key);
      this.overlay.set(name, {
        key,
        stored: isDelete ? undefined : asBuffer(value),
        timestamp,
      });
      this.memory.noteWrite(name, timestamp, isDelete);
    }
    if (command.intents.length > 0 || command.records.length > 0) this.memory.add(command);
    this.underWay.add(pending);
    this.overlayBytes += bytes;
    const batch = this.proposals.add(pending, boundsGeneration(this.replica.descriptor));
    this.sessions.maybeExpire(batch, command.timestamp);
    this.context.onDirty();
  }

  nextTimestamp(): number {
    this.lastTimestamp = Math.max(this.context.hlc.now(), this.lastTimestamp + 1);
    return this.lastTimestamp;
  }

  bounds(): Span {
    return descriptorSpan(this.replica.descriptor);
  }

  refused(check: RequestCheck & { readonly ok: false }): Answer {
    switch (check.kind) {
      case 'outside':
        return this.replica.keyMismatch(check.span);
      case 'tooLarge':
        return refusal(RefusalReason.TOO_LARGE, check.reason);
      case 'invalid':
        return refusal(RefusalReason.INVALID, check.reason);
    }
  }

  busy(): Answer {
    return refusal(RefusalReason.BUSY, 'too much under way in this range or session', {
      retryAfterMs: this.context.limits.busyRetryAfterMs,
    });
  }

  private startTakeOver(takeOver: TakeOver): void {
    const { hlc, takeOverWaitMs } = this.context;
    if (takeOver.kind === 'cutOff') {
      probe('splitInheritsReads');
      this.locks.inherit(takeOver.locks);
      this.openAbove(takeOver.reads);
    } else if (takeOver.kind === 'handedOver' && hlc.observe(toTimestamp(takeOver.servedUpTo)).ok) {
      probe('leaseHandedOver');
      this.openAbove();
    } else if (takeOverWaitMs > 0) this.openAfter(takeOverWaitMs);
    else this.openAbove();
  }

  private openAfter(waitMs: number): void {
    const { hlc, after } = this.context;
    const target = toTimestamp(timestampFromWallMs(hlc.wallMs()) + timestampSpan(waitMs));
    after(waitMs, () => {
      if (this.resigned) return;
      hlc.advanceTo(target);
      this.openAbove();
    });
  }

  /** Writes may come: above `reads`, or above this store's clock. */
  private openAbove(reads?: ReadTimestampCache): void {
    this.open = true;
    this.openedAt = this.context.hlc.now();
    this.memory.reads = reads ?? new ReadTimestampCache(this.openedAt);
    this.drainParked();
  }

  private answerAll(batches: readonly PendingBatch[], answer: Answer): void {
    for (const batch of batches)
      for (const pending of batch.commands)
        for (const caller of pending.callers) this.context.answers.send(caller, answer);
  }

  private mayEvaluate(): boolean {
    return this.ready && this.open && !this.resigned && !this.busyReading && !this.splitting;
  }

  private park(attempt: Attempt): Answer | undefined {
    if (this.resigned) return this.replica.notLeaseholder();
    if (this.parked.length >= this.context.limits.parkedMax) return this.busy();
    this.parked.push(attempt);
    return undefined;
  }

  private drainParked(): void {
    const waiting = this.parked;
    this.parked = [];
    for (let i = 0; i < waiting.length; i++) {
      if (!this.mayEvaluate()) {
        // Whatever a reading of spans holds up stays ahead of what came later.
        this.parked = [...waiting.slice(i), ...this.parked];
        return;
      }
      this.again(present(waiting[i], 'parked request'));
    }
  }
}

/** What a request hears whose wait for an intent was too long: its client finds out about the transaction. */
export function blockedBy(intent: Intent): Answer {
  const { key, transaction, anchorKey, coordinator, timestamp } = intent;
  return refusal(RefusalReason.BLOCKED, 'another transaction is about to write', {
    blocked: { key, transactionId: bytesOfName(transaction), anchorKey, coordinator, timestamp },
  });
}
