/**
 * The advisory locks of one session: how often it has each, for itself and for its transaction. The first of a kind is taken
 * from `AdvisoryLocks`, and with the last one it is given back.
 */
import { type Clock, DbError, type Logger } from '@flotilla/base';
import { initialDatabaseId } from '../catalog/role.ts';
import { sleepFor } from '../cluster/outside-work.ts';
import { advisoryWaitMs } from '../limits.ts';
import type { Notice } from '../session-api.ts';
import type { AdvisoryAccess, AdvisoryScope, Want } from './advisory-facts.ts';
import type { AdvisoryLocks, LockSession } from './advisory-locks.ts';

interface Held {
  readonly want: Want;
  readonly counts: Record<AdvisoryScope, number>;
}

export interface SessionAdvisoryOptions {
  readonly locks: AdvisoryLocks;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly processId: number;
  readonly notify: (notice: Notice) => void;
  /** lock_timeout; 0 = none. */
  readonly limitMs: () => number;
  readonly onLost: () => void;
  /** The oid of the session's. Throws 3D000. */
  readonly database: () => number;
}

let lastNumber = 0;

export class SessionAdvisoryLocks implements AdvisoryAccess {
  private readonly options: SessionAdvisoryOptions;
  private readonly session: LockSession;
  private readonly held = new Map<string, Held>();
  private forTransaction = 0;
  private releasing: Promise<void> | undefined;
  private closed = false;

  constructor(options: SessionAdvisoryOptions) {
    this.options = options;
    this.session = {
      number: ++lastNumber,
      processId: options.processId,
      onLost: () => {
        this.held.clear();
        this.forTransaction = 0;
        options.onLost();
      },
    };
  }

  /** Whether something is to be given back when the transaction ends. */
  get holdsForTransaction(): boolean {
    return this.forTransaction > 0;
  }

  async lock(
    asked: Want,
    how: {
      readonly scope: AdvisoryScope;
      readonly wait: boolean;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<boolean> {
    await this.settled();
    const want = this.ours(asked);
    const name = nameOf(want);
    const { wait, signal, scope } = how;
    if (!this.held.has(name)) {
      const { locks, limitMs } = this.options;
      if (!(await locks.take(this.session, want, { wait, signal, limitMs: limitMs() })))
        return false;
      if (this.closed) await locks.release(this.session, want); // nobody is left to have it
      this.held.set(name, { want, counts: { session: 0, transaction: 0 } });
    }
    const held = this.held.get(name);
    if (held !== undefined) held.counts[scope]++;
    if (scope === 'transaction') this.forTransaction++;
    return true;
  }

  async unlock(asked: Want): Promise<boolean> {
    await this.settled();
    const want = this.ours(asked);
    const held = this.held.get(nameOf(want));
    if (held === undefined || held.counts.session === 0) {
      const mode = want.mode === 'exclusive' ? 'ExclusiveLock' : 'ShareLock';
      const message = `you don't own a lock of type ${mode}`;
      this.options.notify({ severity: 'WARNING', code: '01000', message });
      return false;
    }
    if (held.counts.session + held.counts.transaction === 1)
      await this.options.locks.release(this.session, want);
    held.counts.session--;
    this.forget(held);
    return true;
  }

  /** The lock of this name in the session's database. */
  private ours({ id, mode }: Want): Want {
    const database = this.options.database();
    return { id: database === initialDatabaseId ? id : { ...id, database }, mode };
  }

  async unlockAll(): Promise<void> {
    this.giveBack('session');
    await this.settled();
  }

  /** The transaction has ended, however: what it held is given back, soon. */
  endTransaction(): void {
    if (this.forTransaction === 0) return;
    this.forTransaction = 0;
    this.giveBack('transaction');
  }

  /** Resolves when what is given back has been, or will only be later. Undefined: nothing is being given back. */
  settled(): Promise<void> | undefined {
    return this.releasing;
  }

  /** The session ends. */
  close(): void {
    this.closed = true;
    this.forTransaction = 0;
    this.giveBack('session', 'transaction');
  }

  private giveBack(...scopes: readonly AdvisoryScope[]): void {
    const wants: Want[] = [];
    for (const held of this.held.values()) {
      for (const scope of scopes) held.counts[scope] = 0;
      if (this.forget(held)) wants.push(held.want);
    }
    if (wants.length === 0) return;
    const before = this.releasing;
    const work = (async () => {
      await before;
      for (const want of wants) await this.releaseOnce(want);
    })();
    this.releasing = work;
    void work.then(() => {
      if (this.releasing === work) this.releasing = undefined;
    });
  }

  private forget({ want, counts }: Held): boolean {
    return counts.session + counts.transaction === 0 && this.held.delete(nameOf(want));
  }

  /** Never rejects: what cannot be given back now is tried again, behind everybody's back. */
  private async releaseOnce(want: Want): Promise<void> {
    const { locks, logger } = this.options;
    try {
      await locks.release(this.session, want);
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      logger.warn({ code: error.code }, 'sql_advisory_lock_not_released');
      if (error.code !== 'CLOSED') void this.releaseLater(want);
    }
  }

  private async releaseLater(want: Want): Promise<void> {
    const { clock } = this.options;
    await sleepFor(clock, advisoryWaitMs.releaseAgain, undefined);
    if (!this.held.has(nameOf(want))) await this.releaseOnce(want); // it may have been taken again
  }
}

function nameOf({ id, mode }: Want): string {
  return `${id.kind} ${id.key} ${id.database ?? ''} ${mode}`;
}
