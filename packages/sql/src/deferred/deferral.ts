/** What one transaction puts off: which constraints are deferred in it, and the checks that it owes. */
import type { Deferrable, IndexDescriptor } from '../catalog/descriptor.ts';
import { ConstraintModes, type ModesMark } from './constraint-modes.ts';
import { type ChecksMark, PendingChecks } from './pending-checks.ts';

/** A moment in a transaction, for savepoints. */
export interface DeferralMark {
  readonly modes: ModesMark;
  readonly checks: ChecksMark;
}

export class Deferral {
  readonly modes: ConstraintModes = new ConstraintModes();
  readonly checks: PendingChecks = new PendingChecks();

  isDeferred(constraint: { readonly oid: number; readonly deferrable?: Deferrable }): boolean {
    return this.modes.isDeferred(constraint.oid, constraint.deferrable);
  }

  /** Whether a unique index is kept only when its constraint is checked. */
  isIndexDeferred({ constraintOid, deferrable }: IndexDescriptor): boolean {
    return this.modes.isDeferred(constraintOid, deferrable);
  }

  mark(): DeferralMark {
    return { modes: this.modes.mark(), checks: this.checks.mark() };
  }

  restore({ modes, checks }: DeferralMark): void {
    this.modes.restore(modes);
    this.checks.restore(checks);
  }
}
