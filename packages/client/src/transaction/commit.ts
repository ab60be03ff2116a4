/**
 * The commit of one transaction. Everything in one range: one conditional write, one message, exactly once by its
 * session. Otherwise a parallel commit: a promise (intents everywhere, a STAGING record beside the anchor) in one round;
 * when every range has agreed it is committed, the user hears it, and the rest is done in the background.
 *
 * Whatever was promised and not kept is decided by compare-and-set on the record before the user hears anything: a
 * message that is late could otherwise still complete the promise. Where no decision is to be had before the deadline
 * the outcome is unknown, and said to be.
 */
import { type Clock, DbError, toHex } from '@flotilla/base';
import {
  type Computation,
  type Located,
  type OnWaiting,
  type ReadCheck,
  type RecordAddress,
  type RecordState,
  type TransactionContext,
  TransactionRefused,
  type TransactionRouter,
  type TransactionWrite,
  type WriteCondition,
  type WriteMutation,
  type WriteOutcome,
} from '@flotilla/router';
import type { TimeBound } from '@flotilla/sql/protocol';
import type { LockKeeper } from './lock-keeper.ts';
import { keysToResolve, type ResolutionQueue } from './resolution-queue.ts';

export interface CommitParts {
  readonly router: TransactionRouter;
  readonly clock: Clock;
  readonly keeper: LockKeeper;
  readonly queue: ResolutionQueue;
  /** The whole commit ends by then. Unit: ms. */
  readonly timeoutMs: number;
}

export interface CommitWork {
  readonly context: TransactionContext;
  /** All on keys that are written. Those that judge staleness before those that demand absence. */
  readonly conditions: readonly WriteCondition[];
  /** In order of writing: the first one's key is the anchor. */
  readonly mutations: readonly WriteMutation[];
  readonly readChecks: readonly ReadCheck[];
  /** It may hold locks on keys that it does not write: those on written keys go with their intents. */
  readonly locksElsewhere: boolean;
  /** At which the reads are known to hold, if no written key was read: worth trying before a later one. 0 = none. */
  readonly cheapTimestamp: number;
  /** It is not committed later than this. Where that could only be done later: CONFLICT. */
  readonly bound: TimeBound | undefined;
}

/** How the locks of the transaction end: with the commit, or still to be let go. */
export type CommitEnd = 'locks-gone' | 'locks-held' | 'ends-later';

/** Timestamps that are tried before others are taken to be too quick for us. */
const pushesMax = 12;
/** Share of the time that a promise may take; the rest is for finding out what became of it. */
const promiseShare = 0.6;
/** Writes beyond this go as a promise even to one range: it can be cut into several messages. */
const oneWriteBytesMax = 4 * 1024 * 1024;
const oneWriteKeysMax = 10_000;
/** Time that the writes of a commit are given beyond its ordinary time. Unit: ms per MiB, ms per key. */
const msPerMebibyte = 500;
const msPerKey = 0.5;
/** The same for what was read. Unit: ms per span or key. */
const msPerCheck = 100;
/** More reads than this are refreshed one by one, some at a time: each may have to be looked up. */
const checksTogether = 16;
const refreshesAtOnce = 4;
/** Nobody is likely to wait for one key of a bulk load. */
const announcedKeysMax = 1000;
/** A promise in the way of a promise is waited for so long; then one of the two gives way. Unit: ms. */
const mutualPatienceMs = 100;

export class Commit {
  private readonly parts: CommitParts;
  private readonly work: CommitWork;
  private readonly deadlineAtMs: number;
  private readonly isLarge: boolean;
  /** Until when spans are known to be as they were read. */
  private readonly held = new Map<string, number>();

  constructor(parts: CommitParts, work: CommitWork) {
    this.parts = parts;
    this.work = work;
    const bytes = bytesOf(work.mutations);
    this.isLarge = bytes > oneWriteBytesMax || work.mutations.length > oneWriteKeysMax;
    const extraMs =
      (bytes / 0x10_0000) * msPerMebibyte +
      work.mutations.length * msPerKey +
      Math.max(0, work.readChecks.length - checksTogether) * msPerCheck;
    this.deadlineAtMs = parts.clock.nowMs() + parts.timeoutMs + extraMs;
  }

  /** @throws DbError: CONFLICT, KEY_EXISTS, DEADLOCK, OUTCOME_UNKNOWN, TIMEOUT, UNAVAILABLE */
  async run(): Promise<CommitEnd> {
    if (this.isLarge) return this.promise(this.firstTimestamp());
    const oneRange = await this.writeAt(0, this.work.readChecks);
    if (oneRange === 'written') return 'locks-gone';
    let timestamp = this.firstTimestamp();
    for (let pushes = 0; pushes < pushesMax; pushes++) {
      const ranges = await this.locate();
      const [only, second] = ranges.filter(({ keys }) => keys.length > 0);
      if (only === undefined || second !== undefined) return this.promise(timestamp);
      const elsewhere = ranges.filter((range) => range !== only);
      const pushed = await this.writeBeside(timestamp, only, elsewhere);
      if (pushed === 'written') return 'locks-held';
      if (pushed !== 'moved') timestamp = this.later(pushed);
    }
    throw conflict();
  }

  /**
   * The key's new value is what the program makes of the newest one, at its leaseholder.
   * @returns false: nothing was written, because it makes nothing of it, there is none, others have it locked, or no program
   * is known there
   * @throws DbError as `run`
   */
  async compute(computation: Computation): Promise<boolean> {
    const work = { conditions: [], mutations: [], deleteSpans: [], readChecks: [] };
    const locked = new Error('the key is locked');
    try {
      const outcome = await this.send(
        { ...work, computations: [computation], demandedTimestamp: 0 },
        () => locked,
      );
      return outcome.applied;
    } catch (error) {
      // A store that knows no computed values refuses them as a mistake.
      if (error === locked || isInvalid(error)) return false;
      throw error;
    }
  }

  /** Writes to one range; what was read elsewhere is shown to hold at the timestamp first, and stays so. */
  private async writeBeside(
    timestamp: number,
    here: Located,
    elsewhere: readonly Located[],
  ): Promise<'written' | 'moved' | number> {
    const checks = elsewhere.flatMap(({ readChecks }) => readChecks);
    await this.refresh(checks, timestamp);
    try {
      return await this.writeAt(timestamp, here.readChecks);
    } catch (error) {
      if (error instanceof TransactionRefused && error.reason === 'pushed') return error.timestamp;
      throw error;
    }
  }

  private async writeAt(
    demandedTimestamp: number,
    readChecks: readonly ReadCheck[],
  ): Promise<'written' | 'moved'> {
    const { conditions, mutations } = this.work;
    const wait = this.parts.keeper.wait(this.work.context, undefined);
    try {
      const outcome = await this.send(
        { conditions, mutations, deleteSpans: [], readChecks, demandedTimestamp },
        wait.onNotice,
      );
      if (!outcome.applied) throw failure(conditions[outcome.failedCondition]);
      return 'written';
    } catch (error) {
      if (error instanceof TransactionRefused && error.reason === 'several-ranges') return 'moved';
      throw error;
    } finally {
      wait.end();
    }
  }

  /** One write to one range, by the bound as it is then. */
  private async send(
    write: Omit<TransactionWrite, 'maxTimestamp'>,
    onWaiting: OnWaiting,
  ): Promise<WriteOutcome> {
    for (;;) {
      const maxTimestamp = this.work.bound === undefined ? 0 : this.latest;
      try {
        return await this.parts.router.write(
          this.work.context,
          { ...write, maxTimestamp },
          { timeoutMs: this.leftMs(1), onWaiting },
        );
      } catch (error) {
        // It was slow, or has waited long for somebody: nothing is wrong where the bound has moved on meanwhile, or can.
        const isLate = error instanceof TransactionRefused && error.reason === 'too-late';
        if (!isLate || this.parts.clock.nowMs() >= this.deadlineAtMs) throw error;
        if (!(await this.reaches(error.timestamp))) throw error;
      }
    }
  }

  /** The parallel commit. */
  private async promise(firstTimestamp: number): Promise<CommitEnd> {
    const { keeper, queue } = this.parts;
    await queue.room();
    if (firstTimestamp > this.latest && !(await this.reaches(firstTimestamp)))
      throw new TransactionRefused('too-late', firstTimestamp);
    keeper.enter(this.work.context);
    let timestamp = firstTimestamp;
    for (let pushes = 0; ; pushes++) {
      const end = await this.prepare(timestamp);
      if (end === 'prepared') {
        this.finish({ status: 'committed', commitTimestamp: timestamp }, false);
        return 'ends-later';
      }
      if (typeof end === 'number' && pushes < pushesMax) {
        const next = this.later(end);
        if (await this.reaches(next)) {
          timestamp = next;
          continue;
        }
      }
      const error = typeof end === 'number' ? conflict() : end;
      return this.settle(timestamp, error);
    }
  }

  /** @returns the least timestamp to try next, or why the promise is not kept */
  private async prepare(commitTimestamp: number): Promise<'prepared' | number | Error> {
    const { router, keeper } = this.parts;
    const { context, conditions, mutations, readChecks } = this.work;
    const [first] = mutations;
    if (first === undefined) return new DbError('INVALID_ARGUMENT', 'nothing to write');
    const wait = keeper.wait(context, undefined);
    try {
      const outcome = await router.prepare(
        context,
        {
          anchorKey: first.key,
          commitTimestamp,
          conditions,
          mutations,
          readChecks: readChecks.filter(({ since }) => since < commitTimestamp),
        },
        {
          timeoutMs: this.leftMs(promiseShare),
          onWaiting: wait.onNotice,
          onBlocked: this.mutualWait(),
        },
      );
      return outcome.kind === 'prepared' ? 'prepared' : failure(outcome.condition);
    } catch (error) {
      if (error instanceof TransactionRefused && error.reason === 'pushed') return error.timestamp;
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      wait.end();
    }
  }

  /** Of two promises that are in each other's way the one with the greater id gives way. */
  private mutualWait(): (transactionId: string) => Error | undefined {
    const { clock } = this.parts;
    const own = toHex(this.work.context.id);
    const since = new Map<string, number>();
    return (other) => {
      const first = since.get(other);
      if (first === undefined) since.set(other, clock.nowMs());
      if (first === undefined || own < other || clock.nowMs() - first < mutualPatienceMs)
        return undefined;
      return conflict();
    };
  }

  /**
   * The promise was not kept, or its answers were lost: finds out, or sees to it, what becomes of the transaction.
   * @param why what the user hears if it is aborted
   */
  private async settle(timestamp: number, why: Error): Promise<CommitEnd> {
    let record: RecordState;
    try {
      record = wasAnswered(why) ? await this.abort(timestamp) : await this.recover();
    } catch (error) {
      this.parts.keeper.leave(this.work.context, true);
      throw new DbError('OUTCOME_UNKNOWN', 'the transaction may have been committed', {
        outcome: 'unknown',
        cause: error,
      });
    }
    this.finish(record, true);
    if (record.status === 'committed') return 'ends-later';
    throw why;
  }

  /** Compare-and-set until it says what it is: others may have been quicker, either way. */
  private async abort(timestamp: number): Promise<RecordState> {
    const { router } = this.parts;
    let expected: RecordState = { status: 'staging', commitTimestamp: timestamp };
    for (;;) {
      const found = await router.decide(
        {
          ...this.address,
          expected: expected.status === 'staging' ? 'staging' : 'none',
          expectedTimestamp: expected.commitTimestamp,
          outcome: 'aborted',
          resolveKeys: keysToResolve(this.keys),
          forget: false,
        },
        { timeoutMs: this.leftMs(1) },
      );
      if (found.status === 'committed' || found.status === 'aborted') return found;
      if (this.parts.clock.nowMs() >= this.deadlineAtMs)
        throw new DbError('TIMEOUT', 'the record changes faster than it is decided');
      expected = found;
    }
  }

  /** Says what the promised keys say: a promise whose answers were lost may well have been kept. */
  private recover(): Promise<RecordState> {
    return this.parts.router.recover(this.address, { timeoutMs: this.leftMs(1) });
  }

  /** The rest goes on behind the user's back. */
  private finish(record: RecordState, decided: boolean): void {
    const { keeper, queue, router } = this.parts;
    const { context, locksElsewhere } = this.work;
    const committed = record.status === 'committed';
    const announced = committed && this.work.mutations.length <= announcedKeysMax;
    const leave = (): void => keeper.leave(context, locksElsewhere || !committed);
    if (announced) {
      router.announce(context.id, record.commitTimestamp, this.keys);
      // What is left is nobody's business but the queue's.
      leave();
    }
    queue.add({
      ...this.address,
      committed,
      commitTimestamp: record.commitTimestamp,
      keys: this.keys,
      decided,
      announced,
      onEnd: announced ? () => {} : leave,
    });
  }

  private async refresh(checks: readonly ReadCheck[], to: number): Promise<void> {
    const known = checks.map((check) => ({ ...check, since: this.heldUntil(check) }));
    const older = known.filter(({ since }) => since < to);
    if (older.length === 0) return;
    const spans = older.filter(({ endKey }) => endKey !== undefined);
    if (spans.length <= checksTogether) return this.refreshPart(older, to);
    // The points, and each span by itself.
    const parts: ReadCheck[][] = spans.map((span) => [span]);
    const points = older.filter(({ endKey }) => endKey === undefined);
    if (points.length > 0) parts.push(points);
    const next = parts.values();
    const work = async (): Promise<void> => {
      for (const part of next) await this.refreshPart(part, to);
    };
    await Promise.all(Array.from({ length: refreshesAtOnce }, work));
  }

  private async refreshPart(checks: readonly ReadCheck[], to: number): Promise<void> {
    const { router } = this.parts;
    const options = { timeoutMs: this.leftMs(1) };
    if (!(await router.refresh(this.work.context, checks, to, options))) throw conflict();
    for (const check of checks) if (check.endKey !== undefined) this.held.set(nameOf(check), to);
  }

  /** What was shown to hold for an earlier timestamp need not be shown from the beginning. */
  private heldUntil(check: ReadCheck): number {
    if (check.endKey === undefined) return check.since;
    return Math.max(check.since, this.held.get(nameOf(check)) ?? 0);
  }

  private locate(): Promise<readonly Located[]> {
    const { router } = this.parts;
    return router.locate(this.keys, this.work.readChecks, { timeoutMs: this.leftMs(1) });
  }

  private firstTimestamp(): number {
    const { cheapTimestamp } = this.work;
    return cheapTimestamp > 0 ? cheapTimestamp : this.parts.router.now();
  }

  /** Clocks only need to be past the minimum; the present is less likely to be pushed again. */
  private later(minimum: number): number {
    return Math.max(minimum, this.parts.router.now());
  }

  private async reaches(timestamp: number): Promise<boolean> {
    return timestamp <= this.latest || (await this.work.bound?.reach?.(timestamp)) === true;
  }

  private get latest(): number {
    return this.work.bound?.timestamp ?? Number.MAX_SAFE_INTEGER;
  }

  private get keys(): Uint8Array[] {
    return this.work.mutations.map(({ key }) => key);
  }

  private get address(): RecordAddress {
    const { context, mutations } = this.work;
    const anchorKey = mutations[0]?.key ?? context.id;
    return { transactionId: context.id, anchorKey };
  }

  private leftMs(share: number): number {
    return Math.max(1, (this.deadlineAtMs - this.parts.clock.nowMs()) * share);
  }
}

function bytesOf(mutations: readonly WriteMutation[]): number {
  let bytes = 0;
  for (const mutation of mutations)
    bytes += mutation.key.length + (mutation.kind === 'put' ? mutation.value.length : 0);
  return bytes;
}

/** Whether stores have said no, as against having said nothing. */
function wasAnswered(error: Error): boolean {
  if (!(error instanceof DbError)) return false;
  return error.code === 'CONFLICT' || error.code === 'KEY_EXISTS' || error.code === 'DEADLOCK';
}

function failure(condition: WriteCondition | undefined): DbError {
  if (condition?.kind === 'absent')
    return new DbError('KEY_EXISTS', 'the key is there already', { key: condition.key });
  return condition === undefined
    ? conflict()
    : new DbError('CONFLICT', 'a key was changed since it was read', { key: condition.key });
}

function isInvalid(error: unknown): boolean {
  return error instanceof DbError && error.code === 'INVALID_ARGUMENT';
}

function nameOf({ startKey, endKey }: ReadCheck): string {
  return `${toHex(startKey)}-${toHex(endKey ?? startKey)}`;
}

function conflict(): DbError {
  return new DbError('CONFLICT', 'what was read has changed, or is being changed');
}
