/**
 * Exactly-once at the leaseholder: registers sessions, lets a write through to evaluation only if its serial is new, joins
 * duplicates to what is under way, answers known serials from the table, and lets sessions that rest go.
 */
import { probe, timestampSpan } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import type { Session } from '../state/session-table.ts';
import { type Answer, answerOfResult, type Caller, RefusalReason, refusal } from './answers.ts';
import { makeCommand } from './command.ts';
import type { Attempt, LeaseholderCore } from './leaseholder-core.ts';
import type { PendingBatch } from './proposals.ts';
import type { WriteCommands } from './write-commands.ts';

type WriteRequest = flotilla.kv.WriteRequest.$Properties;
type TransactionHeader = flotilla.kv.TransactionHeader.$Properties;

/** Nonces are random bytes; longer ones only cost memory. */
const nonceBytesMax = 64;

export class SessionCommands {
  private readonly core: LeaseholderCore;
  private readonly writes: WriteCommands;
  /** Sessions last used before this are evicted, or will be by an entry under way. */
  private expiringBefore = 0;

  constructor(core: LeaseholderCore, writes: WriteCommands) {
    this.core = core;
    this.writes = writes;
  }

  evaluateWrite(
    attempt: Attempt,
    request: WriteRequest,
    header: TransactionHeader | undefined,
  ): Answer | undefined {
    const { underWay, replica } = this.core;
    const { caller } = attempt;
    const sessionId = request.sessionId ?? 0;
    const serial = request.serial ?? 0;
    const ackedUpTo = request.ackedUpTo ?? 0;
    if (!isCount(sessionId) || !isCount(serial) || !isCount(ackedUpTo) || sessionId < 1)
      return refusal(RefusalReason.INVALID, 'a write needs a session and a serial');
    if (serial <= ackedUpTo)
      return refusal(RefusalReason.INVALID, 'a write cannot acknowledge its own serial');
    const same = underWay.find(sessionId, serial);
    if (same !== undefined) {
      same.callers.push(caller);
      return undefined;
    }
    const session = replica.sessions.find(sessionId);
    if (session === undefined) return this.confirmExpired(caller);
    const known = session.results.get(serial);
    if (known !== undefined) {
      probe('duplicateCommandSkipped');
      return answerOfResult(known);
    }
    if (serial <= Math.max(session.ackedUpTo, underWay.ackedUpTo(sessionId)))
      return refusal(RefusalReason.ALREADY_ANSWERED, 'this serial was acknowledged');
    if (this.isLeaving(session) || this.isFull(session, ackedUpTo)) return this.core.busy();
    return this.writes.evaluate(attempt, request, header);
  }

  evaluateRegister(caller: Caller, nonce: Uint8Array): Answer | undefined {
    const { underWay, replica, context } = this.core;
    if (nonce.length < 1 || nonce.length > nonceBytesMax)
      return refusal(RefusalReason.INVALID, `a nonce has 1 to ${nonceBytesMax} bytes`);
    const registering = underWay.findRegistration(nonce);
    if (registering !== undefined) {
      registering.callers.push(caller);
      return undefined;
    }
    const known = replica.sessions.findByNonce(nonce);
    if (known !== undefined) return { registerSession: { sessionId: known.sessionId } };
    let evictedSessionId = 0;
    if (replica.sessions.size + underWay.sessionsGained >= context.limits.sessionsMax) {
      evictedSessionId = this.leastRecentlyUsed();
      if (evictedSessionId === 0) return this.core.busy();
    }
    const timestamp = this.core.nextTimestamp();
    // The nonce outlives the frame it came in.
    const registerNonce = Buffer.from(nonce);
    const parts = { sessionId: timestamp, registerNonce, evictedSessionId };
    this.core.append(caller, makeCommand(timestamp, parts));
    return undefined;
  }

  /**
   * Lets the entry of a command forget the sessions that rested too long before it. What was evaluated for them so far is
   * in this entry or ahead of it, so it still takes effect; from now on they are leaving.
   */
  maybeExpire(batch: PendingBatch, timestamp: number): void {
    const { replica, context } = this.core;
    const oldest = replica.sessions.oldest();
    if (oldest === undefined || oldest.lastTimestamp < this.expiringBefore) return;
    const before = timestamp - timestampSpan(context.limits.sessionTtlMs);
    if (oldest.lastTimestamp >= before) return;
    this.expiringBefore = before;
    batch.expireSessionsBefore = before;
  }

  /** Its eviction is under way: until the log has decided, nothing more may rely on the session. */
  private isLeaving({ sessionId, lastTimestamp }: Session): boolean {
    const { underWay } = this.core;
    return (
      underWay.isEvicting(sessionId) ||
      Math.max(lastTimestamp, underWay.lastTimestamp(sessionId)) < this.expiringBefore
    );
  }

  /** @param ackedUpTo of the request: what it acknowledges makes room for it */
  private isFull({ sessionId, results }: Session, ackedUpTo: number): boolean {
    const { underWay, context, isOverloaded } = this.core;
    const { sessionResultsMax } = context.limits;
    if (isOverloaded) return true;
    if (results.size + underWay.count(sessionId) < sessionResultsMax) return false;
    const acked = Math.max(ackedUpTo, underWay.ackedUpTo(sessionId));
    let kept = 0;
    for (const serial of results.keys()) if (serial > acked) kept++;
    for (const serial of underWay.serials(sessionId))
      if (serial > acked && !results.has(serial)) kept++;
    return kept >= sessionResultsMax;
  }

  /** A session with nothing under way, so that every command already evaluated still finds its session when applied. */
  private leastRecentlyUsed(): number {
    const { underWay, replica } = this.core;
    for (const sessionId of replica.sessions.ids())
      if (!underWay.isEvicting(sessionId) && underWay.count(sessionId) === 0) return sessionId;
    return 0;
  }

  /** A leader that was deposed without knowing it must not call a session of its successor expired. */
  private confirmExpired(caller: Caller): Answer | undefined {
    const { context, replica } = this.core;
    const expired = refusal(RefusalReason.SESSION_EXPIRED, 'the session is unknown: register');
    if (context.leaseValid()) return expired;
    context
      .readBarrier()
      .then((grant) => {
        const confirmed = grant.ok && !this.core.isResigned;
        context.answers.send(caller, confirmed ? expired : replica.notLeaseholder());
      })
      .catch((error: unknown) => context.onFatal(error));
    return undefined;
  }
}

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}
