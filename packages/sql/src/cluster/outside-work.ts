/**
 * Work of functions that leaves the process or takes time, such as splitting a range or sleeping. Expressions are evaluated
 * synchronously: the first evaluation throws `PendingWork`, the work is done, and the next evaluation finds its result. Like
 * values of sequences, a result is used once, and again where the evaluation that used it had to be done again. One per run
 * of a statement.
 */
import type { Clock } from '@flotilla/base';
import type { WorkAccess } from '../catalog/catalog-access.ts';
import { PendingWork } from '../execute/pending.ts';
import type { Run } from '../execute/run.ts';
import { cancelledMessage } from '../kv-errors.ts';
import { SqlError } from '../sql-error.ts';
import type { Datum } from '../types/values.ts';

class Pending extends PendingWork {
  private readonly work: (run: Run) => Promise<void>;

  constructor(work: (run: Run) => Promise<void>) {
    super();
    this.work = work;
  }

  complete(run: Run): Promise<void> {
    return this.work(run);
  }
}

interface Done {
  readonly name: string;
  readonly result: Datum;
}

export class OutsideWork implements WorkAccess {
  private done: Done[] = [];
  private taken: Done[] = [];

  result(name: string, work: (signal: AbortSignal | undefined) => Promise<Datum>): Datum {
    const at = this.done.findIndex((one) => one.name === name);
    const [found] = at < 0 ? [] : this.done.splice(at, 1);
    if (found === undefined)
      throw new Pending(async (run) => {
        this.done.push({ name, result: await work(run.pace.signal) });
      });
    this.taken.push(found);
    return found.result;
  }

  begin(): void {
    if (this.taken.length > 0) this.taken = [];
  }

  rewind(): void {
    if (this.taken.length === 0) return;
    this.done.unshift(...this.taken);
    this.taken = [];
  }
}

/** A timer's longest. Unit: ms. */
const timerMsMax = 3_600_000;

/** Throws 57014, or what the signal says. @param ms may be Infinity */
export async function sleepFor(
  clock: Clock,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const until = clock.nowMs() + ms;
  for (let left = ms; left > 0; left = until - clock.nowMs()) {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        timer.cancel();
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = clock.setTimer(Math.min(left, timerMsMax), end);
      signal?.addEventListener('abort', end);
      if (signal?.aborted === true) end();
    });
    if (signal?.aborted === true)
      throw signal.reason instanceof SqlError
        ? signal.reason
        : new SqlError('57014', cancelledMessage);
  }
}
