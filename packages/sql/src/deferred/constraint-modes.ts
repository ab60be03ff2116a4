/** What SET CONSTRAINTS has said in one transaction. Immutable within, so that a savepoint remembers it for nothing. */
import type { Deferrable } from '../catalog/descriptor.ts';

/** What has been said, as it was at some moment. */
export interface ModesMark {
  /** Of all constraints; undefined: nothing was. */
  readonly all: boolean | undefined;
  /** By oid, after that. */
  readonly own: ReadonlyMap<number, boolean>;
}

const nothingSaid: ModesMark = { all: undefined, own: new Map() };

export class ConstraintModes {
  private said = nothingSaid;

  /** Whether a constraint is checked at the end of the transaction only. */
  isDeferred(oid: number, deferrable: Deferrable | undefined): boolean {
    if (deferrable === undefined) return false;
    return this.said.own.get(oid) ?? this.said.all ?? deferrable === 'initially deferred';
  }

  setAll(deferred: boolean): void {
    this.said = { all: deferred, own: new Map() };
  }

  /** @param oids of constraints */
  set(oids: Iterable<number>, deferred: boolean): void {
    const own = new Map(this.said.own);
    for (const oid of oids) own.set(oid, deferred);
    this.said = { ...this.said, own };
  }

  mark(): ModesMark {
    return this.said;
  }

  restore(mark: ModesMark): void {
    this.said = mark;
  }
}
