/** What may be run again because nothing of it was made, and how long to wait before. */
import { type Clock, DbError, type Prng } from '@flotilla/base';
import { SqlError } from '@flotilla/sql';

/** Pause before the first retry; doubles with each. Unit: ms. */
const firstPauseMs = 4;
const longestPauseMs = 500;

/** Others were in its way, and it was not made: it may be run again, from its beginning. */
export function isConflict(error: unknown): boolean {
  if (error instanceof SqlError) return error.code === '40001' || error.code === '40P01';
  return error instanceof DbError && (error.code === 'CONFLICT' || error.code === 'DEADLOCK');
}

/** @param retry how many there were before */
export function backOff(
  { clock, prng }: { readonly clock: Clock; readonly prng: Prng },
  retry: number,
): Promise<void> {
  const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** retry);
  return new Promise((resolve) => {
    clock.setTimer((0.5 + prng.nextFloat() / 2) * longest, resolve);
  });
}
