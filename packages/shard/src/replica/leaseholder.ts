/**
 * What a replica has while it leads its range, and loses with the leadership: writes under way. Evaluates commands in
 * order, gathers those of one turn into one log entry, joins duplicates, answers when the entry has been applied.
 *
 * Every conclusion that reaches a client went through the log of this term: successes and failed conditions alike are
 * replicated results, so nothing uncommitted and nothing stale is ever shown, and a late duplicate of a refused command
 * finds the refusal. Evaluation begins when the term's own entry is applied: then everything that earlier leaders may
 * have committed is in the state, and everything later is in the overlay.
 */
import {
  asBuffer,
  type HybridLogicalClock,
  present,
  probe,
  type Span,
  type Term,
  timestampSpan,
} from '@flotilla/base';
import type { LogEntry, ProposeResult, ReadGrant } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import type { Engine } from '../engine/engine.ts';
import type { StoreLimits } from '../limits.ts';
import { boundsGeneration, descriptorSpan, type RangeDescriptor } from '../range-descriptor.ts';
import type { Session, SessionTable } from '../state/session-table.ts';
import type { StorageSpace } from '../state/storage-keys.ts';
import {
  type Answer,
  type Answers,
  answerOf,
  answerOfResult,
  type Caller,
  RefusalReason,
  refusal,
} from './answers.ts';
import { type Command, type CommandBatch, commandBytes, type RangeSplit } from './command.ts';
import { CommandsUnderWay } from './commands-under-way.ts';
import {
  checkWriteRequest,
  firstFailedCondition,
  physicalWrites,
  type RequestCheck,
  rowsOfSpans,
  type SpanRow,
} from './evaluation.ts';
import { Overlay } from './overlay.ts';
import {
  type PendingBatch,
  type PendingCommand,
  Proposals,
  type SplitOutcome,
} from './proposals.ts';

type WriteRequest = flotilla.kv.WriteRequest.$Properties;

/** What a leaseholder may see of its replica. */
export interface LeaseholderReplica {
  readonly descriptor: RangeDescriptor;
  readonly sessions: SessionTable;
  readonly space: StorageSpace;
  readonly lastTimestamp: number;
  notLeaseholder(): Answer;
  keyMismatch(span: Span): Answer;
}

export interface LeaseholderContext {
  readonly engine: Engine;
  readonly hlc: HybridLogicalClock;
  readonly limits: StoreLimits;
  readonly answers: Answers;
  readonly nowMs: () => number;
  readonly propose: (data: Uint8Array) => ProposeResult;
  readonly leaseValid: () => boolean;
  readonly readBarrier: () => Promise<ReadGrant>;
  /** There is something to propose at the end of this turn. */
  readonly onDirty: () => void;
  readonly onFatal: (error: unknown) => void;
}

type Parked =
  | { readonly kind: 'write'; readonly caller: Caller; readonly request: WriteRequest }
  | { readonly kind: 'register'; readonly caller: Caller; readonly nonce: Uint8Array };

/** Nonces are random bytes; longer ones only cost memory. */
const nonceBytesMax = 64;

export class Leaseholder {
  readonly term: Term;
  private readonly replica: LeaseholderReplica;
  private readonly context: LeaseholderContext;
  private readonly overlay = new Overlay();
  private readonly underWay = new CommandsUnderWay();
  private readonly proposals: Proposals;
  private parked: Parked[] = [];
  private overlayBytes = 0;
  private lastTimestamp = 0;
  /** Sessions last used before this are evicted, or will be by an entry under way. */
  private expiringBefore = 0;
  private ready = false;
  private resigned = false;
  private readingSpans = false;
  /** A split is on its way through the log. */
  private splitting = false;

  constructor(replica: LeaseholderReplica, term: Term, context: LeaseholderContext) {
    this.replica = replica;
    this.term = term;
    this.context = context;
    this.proposals = new Proposals(term, context.limits.entryBytesTarget);
  }

  get isReady(): boolean {
    return this.ready;
  }

  /** Nothing is waiting for an entry to be applied. */
  get idle(): boolean {
    return this.proposals.isEmpty && this.parked.length === 0;
  }

  /** Something waits to be proposed. */
  get hasOpen(): boolean {
    return this.proposals.hasOpen;
  }

  /** The term's own entry is applied and visible. */
  becomeReady(): void {
    if (this.ready) return;
    this.ready = true;
    this.lastTimestamp = this.replica.lastTimestamp;
    this.drainParked();
  }

  /** @returns the answer if there is one at once; otherwise it is sent when the log has decided */
  write(caller: Caller, request: WriteRequest): Answer | undefined {
    if (!this.mayEvaluate()) return this.park({ kind: 'write', caller, request });
    return this.evaluateWrite(caller, request);
  }

  /** @returns as `write` */
  register(caller: Caller, nonce: Uint8Array): Answer | undefined {
    if (!this.mayEvaluate()) return this.park({ kind: 'register', caller, nonce });
    return this.evaluateRegister(caller, nonce);
  }

  /**
   * A write of the store's own, outside exactly-once: repeated by whoever wants it. False: not now.
   * @param caller hears of it like any other
   */
  internalWrite(request: WriteRequest, caller?: Caller): boolean {
    if (!this.mayEvaluate() || this.overlayBytes > this.context.limits.overlayBytesMax)
      return false;
    if (!checkWriteRequest(request, this.bounds(), this.context.limits).ok) return false;
    this.evaluateCommand(caller, request, []);
    return true;
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
  view(): { engine: Engine; space: StorageSpace; overlay: Overlay } {
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
      for (const write of command.writes) this.overlay.settle(write.key, command.timestamp);
      this.overlayBytes -= pending.bytes;
      this.underWay.settle(command);
      const answer = answerOf(command);
      for (const caller of pending.callers) this.context.answers.send(caller, answer);
    }
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
  }

  private answerAll(batches: readonly PendingBatch[], answer: Answer): void {
    for (const batch of batches)
      for (const pending of batch.commands)
        for (const caller of pending.callers) this.context.answers.send(caller, answer);
  }

  private mayEvaluate(): boolean {
    return this.ready && !this.resigned && !this.readingSpans && !this.splitting;
  }

  private park(parked: Parked): Answer | undefined {
    if (this.resigned) return this.replica.notLeaseholder();
    if (this.parked.length >= this.context.limits.parkedMax) return this.busy();
    this.parked.push(parked);
    return undefined;
  }

  private drainParked(): void {
    const waiting = this.parked;
    this.parked = [];
    for (let i = 0; i < waiting.length; i++) {
      const next = present(waiting[i], 'parked request');
      if (!this.mayEvaluate()) {
        // Whatever a reading of spans holds up stays ahead of what came later.
        this.parked = [...waiting.slice(i), ...this.parked];
        return;
      }
      const answer = this.evaluateParked(next);
      if (answer !== undefined) this.context.answers.send(next.caller, answer);
    }
  }

  private evaluateParked(parked: Parked): Answer | undefined {
    const { caller } = parked;
    if (caller.deadlineMs <= this.context.nowMs())
      return refusal(RefusalReason.DEADLINE, 'waited too long');
    if (parked.kind === 'write') return this.evaluateWrite(caller, parked.request);
    return this.evaluateRegister(caller, parked.nonce);
  }

  private evaluateWrite(caller: Caller, request: WriteRequest): Answer | undefined {
    const sessionId = request.sessionId ?? 0;
    const serial = request.serial ?? 0;
    const ackedUpTo = request.ackedUpTo ?? 0;
    if (!isCount(sessionId) || !isCount(serial) || !isCount(ackedUpTo) || sessionId < 1)
      return refusal(RefusalReason.INVALID, 'a write needs a session and a serial');
    if (serial <= ackedUpTo)
      return refusal(RefusalReason.INVALID, 'a write cannot acknowledge its own serial');
    const same = this.underWay.find(sessionId, serial);
    if (same !== undefined) {
      same.callers.push(caller);
      return undefined;
    }
    const session = this.replica.sessions.find(sessionId);
    if (session === undefined) return this.confirmExpired(caller);
    const known = session.results.get(serial);
    if (known !== undefined) {
      probe('duplicateCommandSkipped');
      return answerOfResult(known);
    }
    if (serial <= Math.max(session.ackedUpTo, this.underWay.ackedUpTo(sessionId)))
      return refusal(RefusalReason.ALREADY_ANSWERED, 'this serial was acknowledged');
    if (this.isLeaving(session) || this.isFull(session, ackedUpTo)) return this.busy();
    const checked = checkWriteRequest(request, this.bounds(), this.context.limits);
    if (!checked.ok) return this.refused(checked);
    if ((request.deleteSpans?.length ?? 0) === 0) return this.evaluateCommand(caller, request, []);
    void this.evaluateWithSpans(caller, request);
    return undefined;
  }

  private refused(check: RequestCheck & { readonly ok: false }): Answer {
    switch (check.kind) {
      case 'outside':
        return this.replica.keyMismatch(check.span);
      case 'tooLarge':
        return refusal(RefusalReason.TOO_LARGE, check.reason);
      case 'invalid':
        return refusal(RefusalReason.INVALID, check.reason);
    }
  }

  /** Its eviction is under way: until the log has decided, nothing more may rely on the session. */
  private isLeaving(session: Session): boolean {
    const { sessionId, lastTimestamp } = session;
    return (
      this.underWay.isEvicting(sessionId) ||
      Math.max(lastTimestamp, this.underWay.lastTimestamp(sessionId)) < this.expiringBefore
    );
  }

  /** @param ackedUpTo of the request: what it acknowledges makes room for it */
  private isFull({ sessionId, results }: Session, ackedUpTo: number): boolean {
    const { overlayBytesMax, sessionResultsMax } = this.context.limits;
    if (this.overlayBytes > overlayBytesMax) return true;
    if (results.size + this.underWay.count(sessionId) < sessionResultsMax) return false;
    const acked = Math.max(ackedUpTo, this.underWay.ackedUpTo(sessionId));
    let kept = 0;
    for (const serial of results.keys()) if (serial > acked) kept++;
    for (const serial of this.underWay.serials(sessionId))
      if (serial > acked && !results.has(serial)) kept++;
    return kept >= sessionResultsMax;
  }

  /** Keeps the range to itself while it reads: whatever arrives meanwhile is parked, in order. */
  private async evaluateWithSpans(caller: Caller, request: WriteRequest): Promise<void> {
    const { limits, answers } = this.context;
    this.readingSpans = true;
    try {
      const found = await rowsOfSpans(this.view(), request.deleteSpans ?? [], limits);
      this.readingSpans = false;
      const answer = this.resigned
        ? this.replica.notLeaseholder()
        : found.ok
          ? this.evaluateCommand(caller, request, found.rows)
          : refusal(RefusalReason.TOO_LARGE, `a command deletes at most ${found.limit} keys`);
      if (answer !== undefined) answers.send(caller, answer);
      this.drainParked();
    } catch (error) {
      this.context.onFatal(error);
    }
  }

  private evaluateCommand(
    caller: Caller | undefined,
    request: WriteRequest,
    deletes: readonly SpanRow[],
  ): Answer | undefined {
    const failed = firstFailedCondition(this.view(), request.conditions);
    const timestamp = this.nextTimestamp();
    const evaluated =
      failed === undefined ? physicalWrites(this.view(), request, deletes, timestamp) : [];
    const command: Command = {
      sessionId: request.sessionId ?? 0,
      serial: request.serial ?? 0,
      ackedUpTo: request.ackedUpTo ?? 0,
      timestamp,
      writes: evaluated.map((entry) => entry.write),
      registerNonce: noBytes,
      evictedSessionId: 0,
      failedCondition: failed === undefined ? 0 : failed.index + 1,
      foundTimestamp: failed?.foundTimestamp ?? 0,
    };
    const { commandBytesMax } = this.context.limits;
    if (commandBytes(command) > commandBytesMax)
      return refusal(
        RefusalReason.TOO_LARGE,
        `with the versions it replaces the write exceeds ${commandBytesMax} bytes`,
      );
    for (const { name, write } of evaluated)
      this.overlay.set(name, {
        key: write.key,
        stored: write.isDelete ? undefined : asBuffer(write.value),
        timestamp,
      });
    this.append(caller, command);
    return undefined;
  }

  private evaluateRegister(caller: Caller, nonce: Uint8Array): Answer | undefined {
    const { limits } = this.context;
    if (nonce.length < 1 || nonce.length > nonceBytesMax)
      return refusal(RefusalReason.INVALID, `a nonce has 1 to ${nonceBytesMax} bytes`);
    const underWay = this.underWay.findRegistration(nonce);
    if (underWay !== undefined) {
      underWay.callers.push(caller);
      return undefined;
    }
    const known = this.replica.sessions.findByNonce(nonce);
    if (known !== undefined) return { registerSession: { sessionId: known.sessionId } };
    let evictedSessionId = 0;
    const sessions = this.replica.sessions.size + this.underWay.sessionsGained;
    if (sessions >= limits.sessionsMax) {
      evictedSessionId = this.leastRecentlyUsed();
      if (evictedSessionId === 0) return this.busy();
    }
    const timestamp = this.nextTimestamp();
    this.append(caller, {
      sessionId: timestamp,
      serial: 0,
      ackedUpTo: 0,
      timestamp,
      writes: [],
      // The nonce outlives the frame it came in.
      registerNonce: Buffer.from(nonce),
      evictedSessionId,
      failedCondition: 0,
      foundTimestamp: 0,
    });
    return undefined;
  }

  /** A session with nothing under way, so that every command already evaluated still finds its session when applied. */
  private leastRecentlyUsed(): number {
    for (const sessionId of this.replica.sessions.ids())
      if (!this.underWay.isEvicting(sessionId) && this.underWay.count(sessionId) === 0)
        return sessionId;
    return 0;
  }

  private append(caller: Caller | undefined, command: Command): void {
    const bytes = commandBytes(command);
    const pending: PendingCommand = {
      command,
      bytes,
      callers: caller === undefined ? [] : [caller],
    };
    this.underWay.add(pending);
    this.overlayBytes += bytes;
    const batch = this.proposals.add(pending, boundsGeneration(this.replica.descriptor));
    this.maybeExpireSessions(batch, command.timestamp);
    this.context.onDirty();
  }

  /**
   * Lets the entry of a command forget the sessions that rested too long before it. What was evaluated for them so far is
   * in this entry or ahead of it, so it still takes effect; from now on they are leaving.
   */
  private maybeExpireSessions(batch: PendingBatch, timestamp: number): void {
    const oldest = this.replica.sessions.oldest();
    if (oldest === undefined || oldest.lastTimestamp < this.expiringBefore) return;
    const before = timestamp - timestampSpan(this.context.limits.sessionTtlMs);
    if (oldest.lastTimestamp >= before) return;
    this.expiringBefore = before;
    batch.expireSessionsBefore = before;
  }

  /** A leader that was deposed without knowing it must not call a session of its successor expired. */
  private confirmExpired(caller: Caller): Answer | undefined {
    const expired = refusal(RefusalReason.SESSION_EXPIRED, 'the session is unknown: register');
    if (this.context.leaseValid()) return expired;
    this.context
      .readBarrier()
      .then((grant) => {
        const confirmed = grant.ok && !this.resigned;
        this.context.answers.send(caller, confirmed ? expired : this.replica.notLeaseholder());
      })
      .catch((error: unknown) => this.context.onFatal(error));
    return undefined;
  }

  private nextTimestamp(): number {
    this.lastTimestamp = Math.max(this.context.hlc.now(), this.lastTimestamp + 1);
    return this.lastTimestamp;
  }

  private bounds(): Span {
    return descriptorSpan(this.replica.descriptor);
  }

  private busy(): Answer {
    return refusal(RefusalReason.BUSY, 'too much under way in this range or session', {
      retryAfterMs: this.context.limits.busyRetryAfterMs,
    });
  }
}

const noBytes = Buffer.alloc(0);

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}
