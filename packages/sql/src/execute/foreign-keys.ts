/**
 * Foreign keys at the end of a statement, when all of its row changes are known. First what follows from them: rows that
 * cascade, become NULL or take their default, until nothing more follows. Then what must hold: each reference leads to a
 * row, and no row that is gone is still referred to; what is deferred of that is noted for the end of the transaction. Rows
 * that are referred to are locked, so that they stay until commit.
 */
import type {
  ForeignKeyDescriptor,
  ReferentialAction,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { CheckNote, PutOff } from '../deferred/pending-checks.ts';
import { batchRows } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import type { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import { storedText } from '../types/stored-text.ts';
import { parseText } from '../types/text-codec.ts';
import type { Row } from './evaluate.ts';
import {
  type FoundRow,
  findTarget,
  laterReferringRows,
  missingTarget,
  needsTarget,
  ownOffsets,
  referringRows,
  stillReferenced,
  targetOffsets,
  valuesAt,
  valuesKey,
} from './references.ts';
import type { RowChange, RowWriter } from './row-writer.ts';
import { lockOptions, type Run } from './run.ts';
import type { WriteSet } from './write-set.ts';

/** Whether rows of this table are anybody's concern but its own. */
export function hasForeignKeys(table: TableDescriptor, snapshot: CatalogSnapshot): boolean {
  return table.foreignKeys.length > 0 || snapshot.referencing(table.id).length > 0;
}

/** Throws 23503, 23502, 23514, 23505. */
export async function followForeignKeys(run: Run, writes: WriteSet): Promise<void> {
  if (!writes.writers.some((writer) => writer.changes.length > 0)) return;
  await new Enforcement(run, writes).run();
}

interface Demand {
  readonly writer: RowWriter;
  readonly foreignKey: ForeignKeyDescriptor;
  readonly row: Row;
}

interface Loss {
  readonly parent: TableDescriptor;
  readonly child: TableDescriptor;
  readonly foreignKey: ForeignKeyDescriptor;
  readonly row: Row;
  /** RESTRICT: also where another row has taken the key. */
  readonly restricted: boolean;
}

class Enforcement {
  private readonly statement: Run;
  private readonly writes: WriteSet;
  private readonly snapshot: CatalogSnapshot;
  private readonly seen = new Map<RowWriter, number>();
  private readonly demands: Demand[] = [];
  private readonly losses: Loss[] = [];
  private readonly keySets = new Map<string, Set<string>>();

  constructor(run: Run, writes: WriteSet) {
    const { catalog } = run.evaluation;
    if (catalog === undefined) throw new RangeError('a statement that writes sees the catalog');
    this.statement = run;
    this.writes = writes;
    this.snapshot = catalog.names.snapshot;
  }

  async run(): Promise<void> {
    for (let grown = true; grown; ) {
      grown = false;
      for (const writer of [...this.writes.writers]) {
        const from = this.seen.get(writer) ?? 0;
        if (from >= writer.changes.length) continue;
        grown = true;
        const fresh = writer.changes.slice(from);
        this.seen.set(writer, writer.changes.length);
        this.demand(writer, fresh);
        await this.follow(writer, fresh);
      }
    }
    for (const loss of this.losses) await this.refuseLoss(loss);
    await this.refuseDemands();
  }

  /** Rows that refer to others. */
  private demand(writer: RowWriter, changes: readonly RowChange[]): void {
    const { table } = writer.store;
    for (const foreignKey of table.foreignKeys) {
      const offsets = ownOffsets(table, foreignKey);
      const putOff = this.putOff(table, foreignKey);
      for (const { before, after, from, to } of changes) {
        if (after === undefined || to === undefined) continue;
        const refersAnew = before === undefined || differs(before, after, offsets);
        if (putOff === undefined) {
          if (refersAnew) this.demands.push({ writer, foreignKey, row: after });
        } else if (refersAnew) {
          if (!offsets.every((offset) => after[offset] === null))
            this.later({ ...putOff, kind: 'reference', key: to });
        } else if (from !== undefined && from !== to)
          this.later({ ...putOff, kind: 'moved', from, to });
      }
    }
  }

  /** Rows that others refer to. */
  private async follow(writer: RowWriter, changes: readonly RowChange[]): Promise<void> {
    const { table } = writer.store;
    const references = this.snapshot.referencing(table.id).map(({ table: child, foreignKey }) => {
      const offsets = targetOffsets(table, foreignKey);
      const lost = changes.filter(
        ({ before, after }) =>
          before !== undefined &&
          (after === undefined || differs(before, after, offsets)) &&
          !offsets.some((offset) => before[offset] === null),
      );
      return { child, foreignKey, offsets, lost };
    });
    await this.lockLost(new Set(references.flatMap(({ lost }) => lost)));
    for (const { child, foreignKey, offsets, lost } of references) {
      const putOff = this.putOff(table, foreignKey);
      const lose = (row: Row, action: ReferentialAction) => {
        const restricted = action === 'restrict';
        this.losses.push({ parent: table, child, foreignKey, row, restricted });
      };
      for (const { before, after, from } of lost) {
        if (before === undefined || from === undefined) continue;
        const action = after === undefined ? foreignKey.onDelete : foreignKey.onUpdate;
        if (action === 'no action' && putOff !== undefined) {
          const values = valuesAt(before, offsets);
          const text = valuesKey(values);
          this.later({ ...putOff, kind: 'referenced', values, text, key: from });
        } else if (action === 'no action' || action === 'restrict') lose(before, action);
        else {
          if (action === 'set default') lose(before, action);
          await this.act(child, foreignKey, action, { before, after, offsets });
        }
      }
      if (this.statement.pace.due()) await this.statement.pace.rest();
    }
  }

  /**
   * Nobody comes to refer to the rows any more, where commit does not check that nobody did. Throws DbError CONFLICT where one
   * of them has changed since the statement read it.
   */
  private async lockLost(lost: Iterable<RowChange>): Promise<void> {
    const { newest, transaction, pace } = this.statement;
    if (newest === undefined) return;
    const keys = [...lost].flatMap(({ from }) => from ?? []);
    for (let at = 0; at < keys.length; at += batchRows) {
      const chunk = keys.slice(at, at + batchRows);
      await pace.unlessCancelled(
        transaction.getMany(chunk, lockOptions(this.statement, 'exclusive', true)),
      );
    }
  }

  /** What a deferred check of a row of `table` begins with; undefined: the constraint is not deferred. */
  private putOff(table: TableDescriptor, foreignKey: ForeignKeyDescriptor): PutOff | undefined {
    const { oid: constraint, deferrable } = foreignKey;
    if (deferrable === undefined || this.statement.deferral?.isDeferred(foreignKey) !== true)
      return undefined;
    return { constraint, deferrable, table: table.id, storageId: table.storageId };
  }

  private later(note: CheckNote): void {
    this.writes.putOff(note);
  }

  private async act(
    child: TableDescriptor,
    foreignKey: ForeignKeyDescriptor,
    action: 'cascade' | 'set null' | 'set default',
    parent: {
      readonly before: Row;
      readonly after: Row | undefined;
      readonly offsets: readonly number[];
    },
  ): Promise<void> {
    const own = ownOffsets(child, foreignKey);
    const values = valuesAt(parent.before, parent.offsets);
    for (const { key, row, writer } of await this.children(child, own, values)) {
      if (action === 'cascade' && parent.after === undefined) {
        writer.delete(key, row);
        continue;
      }
      const changed = [...row];
      own.forEach((offset, i) => {
        if (action === 'cascade') changed[offset] = parent.after?.[parent.offsets[i] ?? 0] ?? null;
        else changed[offset] = action === 'set null' ? null : defaultOf(child, offset);
      });
      writer.complete(changed);
      writer.update(key, row, changed, true);
      // Its default may be what it referred to before.
      if (action === 'set default' && this.putOff(child, foreignKey) === undefined)
        this.demands.push({ writer, foreignKey, row: changed });
    }
  }

  /** Rows of a table that refer to these values, as they are after what the statement has done so far. */
  private async children(
    child: TableDescriptor,
    offsets: readonly number[],
    values: readonly Datum[],
  ): Promise<(FoundRow & { readonly writer: RowWriter })[]> {
    const store = new TableStore(child);
    const writer = this.writes.writer(store, this.statement);
    const wanted = valuesKey(values);
    const found: (FoundRow & { readonly writer: RowWriter })[] = [];
    const known = new Set<string>();
    for await (const { key, row } of referringRows(this.statement, store, offsets, values)) {
      known.add(keyName(key));
      if (!writer.isTouched(key)) found.push({ key, row, writer });
    }
    const isKnown = (key: Uint8Array) => known.has(keyName(key)) || writer.isTouched(key);
    for await (const later of laterReferringRows(this.statement, store, offsets, values, isKnown))
      found.push({ ...later, writer });
    for (const { key, row } of writer.rowsNow())
      if (valuesKey(valuesAt(row, offsets)) === wanted) found.push({ key, row, writer });
    return found;
  }

  /** Throws 23503. */
  private async refuseLoss({ parent, child, foreignKey, row, restricted }: Loss): Promise<void> {
    const offsets = targetOffsets(parent, foreignKey);
    const values = valuesAt(row, offsets);
    // Another row may have taken the key in the same statement.
    if (!restricted && this.keys(parent, offsets, 'now').has(valuesKey(values))) return;
    const own = ownOffsets(child, foreignKey);
    const [first] = await this.children(child, own, values);
    if (first === undefined) return;
    throw stillReferenced(this.statement, { parent, child, foreignKey }, row);
  }

  /** Values of these columns in the rows that the statement has left, or in those that it found. */
  private keys(table: TableDescriptor, offsets: readonly number[], side: 'now' | 'before') {
    const name = `${table.id}/${side}/${offsets.join()}`;
    let keys = this.keySets.get(name);
    if (keys === undefined) {
      keys = new Set();
      const writer = this.writes.existingWriter(table.id);
      const rows =
        side === 'now'
          ? [...(writer?.rowsNow() ?? [])].map(({ row }) => row)
          : (writer?.changes ?? []).flatMap(({ before }) => (before === undefined ? [] : [before]));
      for (const row of rows) keys.add(valuesKey(valuesAt(row, offsets)));
      this.keySets.set(name, keys);
    }
    return keys;
  }

  /** Each reference once, many at a time. Throws 23503. */
  private async refuseDemands(): Promise<void> {
    const open = new Map<string, Demand>();
    for (const demand of this.demands) {
      if (!demand.writer.isCurrent(demand.row)) continue;
      const { foreignKey, writer, row } = demand;
      const values = valuesAt(row, ownOffsets(writer.store.table, foreignKey));
      open.set(`${foreignKey.oid}/${valuesKey(values)}`, demand);
    }
    const demands = [...open.values()];
    for (let at = 0; at < demands.length; at += batchRows) {
      this.statement.pace.check();
      const part = demands.slice(at, at + batchRows);
      const errors = await Promise.all(part.map((demand) => this.unmet(demand)));
      const first = errors.find((error) => error !== undefined);
      if (first !== undefined) throw first;
      if (this.statement.pace.due()) await this.statement.pace.rest();
    }
  }

  /** Throws 23503 where MATCH FULL forbids the reference. */
  private async unmet({ writer, foreignKey, row }: Demand): Promise<SqlError | undefined> {
    const { store } = writer;
    const values = valuesAt(row, ownOffsets(store.table, foreignKey));
    if (!needsTarget(store, foreignKey, values)) return undefined;
    const target = this.snapshot.table(foreignKey.target);
    if (target === undefined) throw new RangeError('a foreign key refers to a table');
    const there = targetOffsets(target, foreignKey);
    const wanted = valuesKey(values);
    if (this.keys(target, there, 'now').has(wanted)) return undefined;
    if (
      !this.keys(target, there, 'before').has(wanted) &&
      (await findTarget(this.statement.transaction, target, foreignKey, values))
    )
      return undefined;
    return missingTarget(this.statement, store, foreignKey, { row, target });
  }
}

function keyName(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function differs(before: Row, after: Row, offsets: readonly number[]): boolean {
  return offsets.some((offset) => before[offset] !== after[offset]);
}

function defaultOf(table: TableDescriptor, offset: number): Datum {
  const column = table.columns[offset];
  if (column?.default?.kind !== 'constant' || column.default.text === null) return null;
  return parseText(column.type, column.default.text, storedText);
}
