/** Advisory locks as expressions and pg_locks see them. */
import type { AdvisoryId, AdvisoryMode } from './rows.ts';

/** What pg_locks shows. */
export interface AdvisoryFacts extends AdvisoryId {
  readonly mode: AdvisoryMode;
  readonly processId: number;
  readonly granted: boolean;
}

export interface Want {
  readonly id: AdvisoryId;
  readonly mode: AdvisoryMode;
}

/** Held until it is given back or the session ends; or until the transaction ends. */
export type AdvisoryScope = 'session' | 'transaction';

/** The locks of the session. */
export interface AdvisoryAccess {
  /** @returns whether the session has it; true unless `wait` is false. Throws 55P03, 57014, DbError. */
  lock(
    want: Want,
    how: {
      readonly scope: AdvisoryScope;
      readonly wait: boolean;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<boolean>;
  /** @returns false, with a warning, where the session does not have it for itself. Throws DbError. */
  unlock(want: Want): Promise<boolean>;
  /** Those that the session has for itself. */
  unlockAll(): Promise<void>;
}
