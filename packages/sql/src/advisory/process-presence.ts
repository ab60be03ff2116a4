/**
 * That this process is alive, as others see it: a row with a number that rises while there is a reason to say so. Whoever
 * sees it stand still for long takes the process for dead and deletes the row; a process that finds its row gone, or could
 * not raise it for a while, has lost all that others were to leave to it, and begins anew under another name.
 */
import { type Clock, DbError, type Logger, type Timer } from '@flotilla/base';
import type { KvDatabase } from '../kv-transaction.ts';
import { presence } from '../limits.ts';
import { decodePresence, encodePresence, processKey } from './rows.ts';

export interface PresenceOptions {
  readonly database: KvDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  /** No other process, of any time, has it. */
  readonly id: string;
  /** Whether there is still a reason to be seen. */
  readonly needed: () => boolean;
  /** Others may believe from now on that the process is dead. */
  readonly onLost: () => void;
}

export class ProcessPresence {
  private readonly options: PresenceOptions;
  private incarnation = 0;
  private beat = 0;
  /** When the last raise that succeeded was begun. Undefined: there is no row. */
  private raisedAt: number | undefined;
  private entering: Promise<void> | undefined;
  private timer: Timer | undefined;

  constructor(options: PresenceOptions) {
    this.options = options;
  }

  /** What others know the process by. */
  get name(): string {
    return `${this.options.id}.${this.incarnation}`;
  }

  /** Whether nobody may take the process for dead yet. */
  get certain(): boolean {
    const { raisedAt } = this;
    return raisedAt !== undefined && this.options.clock.nowMs() - raisedAt < presence.lostMs;
  }

  /** From now on others see that the process is alive. Throws DbError. */
  async enter(): Promise<void> {
    if (this.certain) return;
    if (this.raisedAt !== undefined) this.lose();
    this.entering ??= this.raise(true).finally(() => {
      this.entering = undefined;
    });
    await this.entering;
  }

  /** Nothing is left that others are to leave to it. */
  async leave(): Promise<void> {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.raisedAt === undefined) return;
    this.raisedAt = undefined;
    const { database } = this.options;
    const { name } = this;
    this.incarnation++; // the row may stay behind
    const transaction = database.begin();
    transaction.delete(processKey(name));
    await transaction.commit();
  }

  /** Throws DbError: nothing is known then. */
  private async raise(first: boolean): Promise<void> {
    const { database, clock } = this.options;
    const startedAt = clock.nowMs();
    const key = processKey(this.name);
    const transaction = database.begin();
    if (!first && (await transaction.get(key)) === undefined) {
      transaction.rollback();
      this.lose();
      return;
    }
    transaction.put(key, encodePresence({ beat: ++this.beat }));
    await transaction.commit();
    this.raisedAt = startedAt;
    this.timer?.cancel();
    this.timer = clock.setTimer(presence.beatMs, () => void this.renew());
  }

  private async renew(): Promise<void> {
    const { clock, logger } = this.options;
    try {
      if (this.options.needed()) await this.raise(false);
      else await this.leave();
    } catch (error) {
      if (!(error instanceof DbError)) throw error;
      logger.warn({ code: error.code }, 'sql_presence_not_renewed');
      if (this.raisedAt === undefined) return;
      if (!this.certain) this.lose();
      else this.timer = clock.setTimer(presence.beatMs / 4, () => void this.renew());
    }
  }

  private lose(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.raisedAt = undefined;
    this.incarnation++;
    this.options.logger.warn({ id: this.options.id }, 'sql_presence_lost');
    this.options.onLost();
  }
}

/** Sees which other processes stand still. */
export class PresenceWatch {
  private readonly clock: Clock;
  private readonly seen = new Map<string, { readonly beat: number; readonly since: number }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** @param row as it is now. @returns whether the process is dead. Throws CORRUPTION. */
  isDead(name: string, row: Uint8Array | undefined): boolean {
    if (row === undefined) {
      this.seen.delete(name);
      return true;
    }
    const { beat } = decodePresence(row);
    const before = this.seen.get(name);
    const now = this.clock.nowMs();
    if (before === undefined || before.beat !== beat) {
      this.seen.set(name, { beat, since: now });
      return false;
    }
    return now - before.since >= presence.deadMs;
  }
}
