/** What the failure of an SDK call says about its effect. Anything that is no error of the database is thrown on. */
import { DbError, SqlError } from '@flotilla/client';

export interface SdkFailure {
  /** `refused`: surely nothing was written, and the same may be tried again. `impossible`: proof of a bug. */
  readonly outcome: 'refused' | 'unknown' | 'impossible';
  /** Code and text. */
  readonly message: string;
}

/** Conflicts, waits, and what goes by itself. */
const retryable = /^(40001|40P01|53...|55P03|57P03|57014|58000)$/;

export function judgeSdkFailure(error: unknown): SdkFailure {
  if (error instanceof DbError) {
    const message = `${error.code} ${error.message}`;
    if (error.outcome === 'unknown' || error.code === 'OUTCOME_UNKNOWN')
      return { outcome: 'unknown', message };
    const bug = ['CORRUPTION', 'INVALID_ARGUMENT', 'NOT_SUPPORTED', 'KEY_EXISTS'];
    return { outcome: bug.includes(error.code) ? 'impossible' : 'refused', message };
  }
  if (error instanceof SqlError) {
    const message = `${error.code} ${error.message}`;
    if (error.code === '40003') return { outcome: 'unknown', message };
    return { outcome: retryable.test(error.code) ? 'refused' : 'impossible', message };
  }
  throw error;
}

/** How often each message came. */
export class FailureCounts {
  readonly counts: Map<string, number> = new Map();

  note(message: string): void {
    this.counts.set(message, (this.counts.get(message) ?? 0) + 1);
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Undefined where there is none. */
  text(): string | undefined {
    if (this.counts.size === 0) return undefined;
    return [...this.counts].map(([message, count]) => `${count} x ${message}`).join('; ');
  }
}
