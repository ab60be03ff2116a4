/**
 * Deferred constraints of one session: SET CONSTRAINTS, and what a transaction has put off when it commits. Made by the
 * session's context; what is deferred is the open transaction's (`Deferral`).
 */
import type { Clock } from '@flotilla/base';
import type { BoundUtility } from '../bind/bound.ts';
import { MemoryAccount, Pace, type Run } from '../execute/run.ts';
import type { EvalContext } from '../functions/signature.ts';
import type { KvDatabase } from '../kv-transaction.ts';
import { workMemoryBytes } from '../limits.ts';
import type { IndexTest } from '../plan/choose-path.ts';
import { kvIsolation, type OpenTransaction } from '../transaction/open-transaction.ts';
import { constraintsNamed } from './constraint-names.ts';
import type { PendingCheck } from './pending-checks.ts';
import { runChecks } from './run-checks.ts';

/** What it asks of the session. */
export interface Constrained {
  readonly shared: { readonly database: KvDatabase; readonly clock: Clock };
  readonly settings: { readonly lockTimeoutMs: number };
  evaluation(parameters: readonly []): EvalContext;
  usableIndexes(): IndexTest | undefined;
}

export type SetConstraints = Extract<BoundUtility, { kind: 'set-constraints' }>;

export class SessionConstraints {
  private readonly session: Constrained;

  constructor(session: Constrained) {
    this.session = session;
  }

  /**
   * SET CONSTRAINTS: what is immediate from now on is checked at once.
   * @param open undefined: there is none, and so nothing to set it for
   * Throws 42704, 42809, 3F000, 0A000, what is violated, DbError.
   */
  async set(
    { names, deferred }: SetConstraints,
    open: OpenTransaction | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const evaluation = this.session.evaluation([]);
    const oids = names && constraintsNamed(evaluation, names, deferred);
    if (open === undefined) return;
    const { modes, checks } = open.deferral;
    if (oids === undefined) modes.setAll(deferred);
    else modes.set(oids, deferred);
    if (deferred) return;
    const isDue = ({ constraint, deferrable }: PendingCheck) =>
      !modes.isDeferred(constraint, deferrable);
    await this.make(open, checks.all().filter(isDue), signal);
  }

  /** Everything that a transaction has put off: it is about to commit. Throws what is violated, DbError. */
  async settle(open: OpenTransaction, signal: AbortSignal | undefined): Promise<void> {
    const { checks } = open.deferral;
    if (!checks.isEmpty) await this.make(open, checks.all(), signal);
  }

  private async make(
    open: OpenTransaction,
    due: readonly PendingCheck[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (due.length === 0) return;
    const { shared, settings } = this.session;
    const { database, clock } = shared;
    const isolation = kvIsolation(open.modes.isolation);
    const run: Run = {
      transaction: await open.beginStatement(),
      evaluation: this.session.evaluation([]),
      pace: new Pace(clock, signal),
      memory: new MemoryAccount(workMemoryBytes),
      spill: undefined,
      ctes: undefined,
      writes: undefined,
      lockRows: true,
      usable: this.session.usableIndexes(),
      lockTimeoutMs: settings.lockTimeoutMs,
      newest: isolation === 'serializable' ? undefined : () => database.begin({ readOnly: true }),
      deferral: undefined,
    };
    open.relyOn(await runChecks(run, due));
    open.deferral.checks.remove(due);
  }
}
