/**
 * Work that an expression waits for. Expressions are evaluated synchronously: one that needs what is not at hand throws
 * this, and whoever evaluates it does the work and evaluates again (see `resume` in subplan.ts).
 */
import type { Run } from './run.ts';

export abstract class PendingWork {
  abstract complete(run: Run): Promise<void>;
}
