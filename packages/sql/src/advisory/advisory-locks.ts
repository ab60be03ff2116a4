/**
 * Advisory locks of all sessions of one engine, kept as rows that ordinary transactions change, so that the sessions of all
 * processes exclude each other whatever becomes of leaseholders. Who waits looks again and again: the row first, then
 * whether the process of a holder is still alive. What has been taken lasts as long as the process is seen to live.
 * Used by session-advisory-locks.ts, which counts how often a session has a lock.
 */
import { type Clock, DbError, type Logger, type Prng } from '@flotilla/base';
import { sleepFor } from '../cluster/outside-work.ts';
import type { KvDatabase, KvTransaction } from '../kv-transaction.ts';
import { advisoryWaitMs, conflictRunsMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import type { AdvisoryFacts, Want } from './advisory-facts.ts';
import { PresenceWatch, ProcessPresence } from './process-presence.ts';
import {
  type AdvisoryMode,
  advisoryIdOf,
  advisoryKey,
  advisorySpan,
  decodeHolders,
  encodeHolders,
  type Holder,
  processKey,
} from './rows.ts';

/** A session as the locks know it. */
export interface LockSession {
  readonly number: number;
  readonly processId: number;
  /** Its locks may be others' by now. */
  onLost(): void;
}

export interface AdvisoryOptions {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
}

export class AdvisoryLocks {
  private readonly options: AdvisoryOptions;
  private readonly presence: ProcessPresence;
  private readonly watch: PresenceWatch;
  /** Sessions of this process that have locks, and how many. */
  private readonly holding = new Map<LockSession, number>();
  private readonly waiting = new Map<LockSession, Want>();
  /** Calls of `take` that have not ended. */
  private taking = 0;

  constructor(options: AdvisoryOptions) {
    this.options = options;
    const { database, clock, logger, prng } = options;
    const words = Array.from({ length: 4 }, () => prng.nextUint32().toString(16).padStart(8, '0'));
    this.watch = new PresenceWatch(clock);
    this.presence = new ProcessPresence({
      ...{ database, clock, logger },
      id: words.join(''),
      needed: () => this.taking > 0 || this.holding.size > 0,
      onLost: () => this.lost(),
    });
  }

  /**
   * @param wait false: at once or not at all. @param limitMs the longest wait; 0 = none
   * @returns whether the session has it. Throws 55P03, 57014, DbError.
   */
  async take(
    session: LockSession,
    want: Want,
    options: {
      readonly wait: boolean;
      readonly limitMs: number;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<boolean> {
    const { clock, prng } = this.options;
    const startedAt = clock.nowMs();
    let pauseMs = advisoryWaitMs.first;
    this.taking++;
    try {
      for (;;) {
        await this.presence.enter();
        const { name } = this.presence;
        if (await this.attempt(session, want)) {
          if (this.presence.name !== name)
            throw new DbError('UNAVAILABLE', 'the cluster could not be reached in time');
          this.holding.set(session, (this.holding.get(session) ?? 0) + 1);
          return true;
        }
        if (!options.wait) return false;
        this.waiting.set(session, want);
        if (options.limitMs > 0 && clock.nowMs() - startedAt >= options.limitMs)
          throw new SqlError('55P03', 'canceling statement due to lock timeout');
        await sleepFor(clock, pauseMs * (0.5 + prng.nextBelow(1000) / 1000), options.signal);
        pauseMs = Math.min(pauseMs * 1.5, advisoryWaitMs.most);
      }
    } finally {
      this.taking--;
      this.waiting.delete(session);
    }
  }

  /** Lets go of a lock that the session has. Throws DbError if that cannot be done just now. */
  async release(session: LockSession, { id, mode }: Want): Promise<void> {
    const key = advisoryKey(id);
    const process = this.presence.name;
    await this.inTransaction(async (transaction) => {
      const holders = decodeHolders(await transaction.get(key));
      const left = holders.filter((one) => !isHeldBy(one, process, session, mode));
      if (left.length === holders.length) return;
      if (left.length === 0) transaction.delete(key);
      else transaction.put(key, encodeHolders(left));
    });
    const held = (this.holding.get(session) ?? 1) - 1;
    if (held > 0) this.holding.set(session, held);
    else this.holding.delete(session);
  }

  /** All that are held anywhere, and those that sessions here wait for. */
  async list(): Promise<AdvisoryFacts[]> {
    const facts: AdvisoryFacts[] = [];
    const transaction = this.options.database.begin({ readOnly: true });
    for await (const pairs of transaction.scan(advisorySpan))
      for (const { key, value } of pairs)
        for (const { mode, processId } of decodeHolders(value))
          facts.push({ ...advisoryIdOf(key), mode, processId, granted: true });
    transaction.rollback();
    for (const [{ processId }, { id, mode }] of this.waiting)
      facts.push({ ...id, mode, processId, granted: false });
    return facts;
  }

  /** The engine is closed: nobody has to wait until this process is seen to be dead. */
  async close(): Promise<void> {
    await this.presence.leave();
  }

  /** One look at the row; takes the lock if nobody who lives is in the way. */
  private attempt(session: LockSession, { id, mode }: Want): Promise<boolean> {
    const key = advisoryKey(id);
    const { name: process } = this.presence;
    return this.inTransaction(async (transaction) => {
      const holders = decodeHolders(await transaction.get(key));
      const mine = holders.filter(
        (one) => one.process === process && one.session === session.number,
      );
      if (mine.some((one) => one.mode === mode)) return true; // of a commit that nobody has answered
      const kept: Holder[] = [];
      for (const one of holders) {
        const blocks = (one.mode === 'exclusive' || mode === 'exclusive') && !mine.includes(one);
        if (one.process === process) {
          if (blocks) return false;
          kept.push(one);
          continue;
        }
        const presenceKey = processKey(one.process);
        if (this.watch.isDead(one.process, await transaction.get(presenceKey))) {
          transaction.delete(presenceKey);
          continue;
        }
        if (blocks) return false;
        kept.push(one);
      }
      const { number, processId } = session;
      kept.push({ process, session: number, processId, mode });
      transaction.put(key, encodeHolders(kept));
      return true;
    });
  }

  /** Runs again after conflicts, and when nobody knows what became of the commit: `work` looks first. */
  private async inTransaction<Result>(
    work: (transaction: KvTransaction) => Promise<Result>,
  ): Promise<Result> {
    const { clock, prng, database } = this.options;
    for (let run = 1; ; run++) {
      const transaction = database.begin();
      try {
        const result = await work(transaction);
        await transaction.commit();
        return result;
      } catch (error) {
        transaction.rollback();
        if (!(error instanceof DbError) || !again.has(error.code) || run >= conflictRunsMax)
          throw error;
        await sleepFor(clock, 1 + prng.nextBelow(10 * run), undefined);
      }
    }
  }

  private lost(): void {
    const sessions = [...this.holding.keys()];
    this.holding.clear();
    for (const session of sessions) session.onLost();
  }
}

const again: ReadonlySet<string> = new Set(['CONFLICT', 'DEADLOCK', 'OUTCOME_UNKNOWN']);

function isHeldBy(
  holder: Holder,
  process: string,
  { number }: LockSession,
  mode: AdvisoryMode,
): boolean {
  return holder.process === process && holder.session === number && holder.mode === mode;
}
