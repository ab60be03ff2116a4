/**
 * Checks that one transaction has put off, in the order in which statements have asked for them. A check names what is to be
 * looked at, not what was seen: it is judged by the rows as they are when it is made. Reads and writes nothing.
 */
import { compareBytes, toHex } from '@flotilla/base';
import type { Deferrable } from '../catalog/descriptor.ts';
import { pendingChecksMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';

/** A constraint of a table, as it was when the check was put off. */
export interface PutOff {
  /** The oid. */
  readonly constraint: number;
  readonly deferrable: Deferrable;
  /** The table that was written to. */
  readonly table: number;
  /** Where its rows lay. */
  readonly storageId: number;
}

export type PendingCheck =
  /** The row at the key, if there is one then, refers to a row. */
  | (PutOff & { readonly kind: 'reference'; readonly key: Uint8Array })
  /** These values of a foreign key's target are there, or nobody refers to them. They were in the rows at the keys. */
  | (PutOff & {
      readonly kind: 'referenced';
      readonly values: readonly Datum[];
      readonly keys: readonly Uint8Array[];
    })
  /**
   * One row at most has the values of a unique index that its key `key` holds. The index does not know yet which rows, by
   * what their keys have behind their prefix, have come to have them, and which have them no more.
   */
  | (PutOff & {
      readonly kind: 'unique';
      readonly index: number;
      readonly key: Uint8Array;
      readonly come: readonly Uint8Array[];
      readonly gone: readonly Uint8Array[];
    });

/** What a statement leaves to be checked later. */
export type CheckNote =
  | (PutOff & { readonly kind: 'reference'; readonly key: Uint8Array })
  /** A row went elsewhere, its reference unchanged: to be checked if it was to be checked before. */
  | (PutOff & { readonly kind: 'moved'; readonly from: Uint8Array; readonly to: Uint8Array })
  | (PutOff & {
      readonly kind: 'referenced';
      readonly values: readonly Datum[];
      /** The values as text. */
      readonly text: string;
      readonly key: Uint8Array;
    })
  | (PutOff & {
      readonly kind: 'come' | 'gone';
      readonly index: number;
      readonly key: Uint8Array;
      readonly row: Uint8Array;
    });

/** A moment in the life of the checks. Opaque. */
export type ChecksMark = number & { readonly checksMark: unique symbol };

export class PendingChecks {
  private readonly checks = new Map<string, PendingCheck>();
  /** What each change replaced. Kept from the first `mark` on. */
  private undo: { readonly name: string; readonly before: PendingCheck | undefined }[] | undefined;
  /** How many checks there are of each unique index. */
  private readonly byIndex = new Map<number, number>();

  get isEmpty(): boolean {
    return this.checks.size === 0;
  }

  /** In the order in which they were first asked for. */
  all(): PendingCheck[] {
    return [...this.checks.values()];
  }

  /** Whether anything about rows of this table is still to be checked. */
  concerns(table: number): boolean {
    for (const check of this.checks.values()) if (check.table === table) return true;
    return false;
  }

  /** Whether entries of this index are missing. */
  isBehind(indexNumber: number): boolean {
    return this.byIndex.has(indexNumber);
  }

  /** Throws 53200. */
  note(note: CheckNote): void {
    switch (note.kind) {
      case 'reference':
        this.set(nameOfRow(note.constraint, note.key), note);
        return;
      case 'moved': {
        if (!this.checks.has(nameOfRow(note.constraint, note.from))) return;
        const { from: _, to: key, ...putOff } = note;
        this.set(nameOfRow(note.constraint, key), { ...putOff, kind: 'reference', key });
        return;
      }
      case 'referenced': {
        const { text, key, ...putOff } = note;
        const name = `values ${note.constraint} ${text}`;
        const before = this.checks.get(name);
        const keys = before?.kind === 'referenced' ? before.keys : [];
        this.set(name, { ...putOff, keys: [...keys, key] });
        return;
      }
      default:
        this.noteEntry(note);
    }
  }

  /** They have been made, or there is nothing to check any more. */
  remove(made: readonly PendingCheck[]): void {
    const gone = new Set(made);
    for (const [name, check] of [...this.checks]) if (gone.has(check)) this.set(name, undefined);
  }

  mark(): ChecksMark {
    this.undo ??= [];
    return this.undo.length as ChecksMark;
  }

  /** The checks are again what they were. */
  restore(mark: ChecksMark): void {
    for (const { name, before } of this.undo?.splice(mark).reverse() ?? []) this.put(name, before);
  }

  private noteEntry(note: Extract<CheckNote, { kind: 'come' | 'gone' }>): void {
    const { kind, row, ...putOff } = note;
    const name = `entry ${note.index} ${toHex(note.key)}`;
    const before = this.checks.get(name);
    const known = before?.kind === 'unique' ? before : { come: [], gone: [] };
    const [to, from] = kind === 'come' ? [known.come, known.gone] : [known.gone, known.come];
    const kept = from.filter((one) => compareBytes(one, row) !== 0);
    const added = kept.length < from.length ? to : [...to, row];
    const [come, gone] = kind === 'come' ? [added, kept] : [kept, added];
    // The row that comes to values which are taken is the one that has to be looked at.
    if (before !== undefined && kind === 'come') this.set(name, undefined);
    this.set(name, { ...putOff, kind: 'unique', come, gone });
  }

  private set(name: string, check: PendingCheck | undefined): void {
    const before = this.checks.get(name);
    if (before === undefined && this.checks.size >= pendingChecksMax)
      throw new SqlError('53200', 'out of memory', {
        detail: `A transaction may put off ${pendingChecksMax} checks of constraints at most.`,
      });
    this.undo?.push({ name, before });
    this.put(name, check);
  }

  private put(name: string, check: PendingCheck | undefined): void {
    const before = this.checks.get(name);
    if (before?.kind === 'unique') this.count(before.index, -1);
    if (check?.kind === 'unique') this.count(check.index, 1);
    if (check === undefined) this.checks.delete(name);
    else this.checks.set(name, check);
  }

  private count(index: number, change: number): void {
    const count = (this.byIndex.get(index) ?? 0) + change;
    if (count === 0) this.byIndex.delete(index);
    else this.byIndex.set(index, count);
  }
}

function nameOfRow(constraint: number, key: Uint8Array): string {
  return `row ${constraint} ${toHex(key)}`;
}
