/**
 * Makes checks that a transaction has put off, in their order, as of now: in READ COMMITTED in a snapshot of their own. What
 * they find stays so until commit, as it does for checks at the end of a statement: rows that are referred to are locked,
 * entries of unique indexes are demanded to be absent or as they were, and of rows that are gone nobody can come to refer to
 * the key. Called where a transaction commits and by SET CONSTRAINTS.
 */
import { compareBytes } from '@flotilla/base';
import type {
  ForeignKeyDescriptor,
  IndexDescriptor,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { duplicateEntry } from '../execute/constraint-errors.ts';
import type { Row } from '../execute/evaluate.ts';
import {
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
} from '../execute/references.ts';
import { lockOptions, type Run } from '../execute/run.ts';
import { rulesOf } from '../execute/table-rules.ts';
import { batchRows, uniqueLocksMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { TableStore } from '../storage/table-store.ts';
import type { PendingCheck, PutOff } from './pending-checks.ts';

type CheckOf<Kind extends PendingCheck['kind']> = Extract<PendingCheck, { kind: Kind }>;

/** @returns the tables whose definitions the answers rest on. Throws 23503, 23505, 40001, DbError. */
export async function runChecks(
  run: Run,
  checks: readonly PendingCheck[],
): Promise<Iterable<TableDescriptor>> {
  const checking = new Checking(run);
  await checking.lockGone(checks);
  for (let at = 0; at < checks.length; ) {
    const kind = checks[at]?.kind;
    let end = at + 1;
    while (end < checks.length && end - at < batchRows && checks[end]?.kind === kind) end++;
    run.pace.check();
    await checking.make(checks.slice(at, end));
    if (run.pace.due()) await run.pace.rest();
    at = end;
  }
  return checking.tables;
}

class Checking {
  /** Those that were looked at. */
  readonly tables = new Set<TableDescriptor>();
  private readonly statement: Run;
  private readonly snapshot: CatalogSnapshot;
  /** References that were looked for, by constraint and values. */
  private readonly targets = new Map<string, Promise<boolean>>();

  constructor(run: Run) {
    const { catalog } = run.evaluation;
    if (catalog === undefined) throw new RangeError('constraints are checked by the catalog');
    this.statement = run;
    this.snapshot = catalog.names.snapshot;
  }

  /** Checks of one kind. */
  async make(checks: readonly PendingCheck[]): Promise<void> {
    await this.makeReferences(checks.filter((one) => one.kind === 'reference'));
    for (const check of checks) if (check.kind === 'referenced') await this.makeReferenced(check);
    await this.makeUnique(checks.filter((one) => one.kind === 'unique'));
  }

  /** As the statement that made them go locks them where all is checked at once. */
  async lockGone(checks: readonly PendingCheck[]): Promise<void> {
    const { newest, transaction, pace } = this.statement;
    if (newest === undefined) return;
    const keys = checks.flatMap((check) => (check.kind === 'referenced' ? check.keys : []));
    const options = lockOptions(this.statement, 'exclusive', true);
    for (let at = 0; at < keys.length; at += batchRows)
      await pace.unlessCancelled(transaction.getMany(keys.slice(at, at + batchRows), options));
  }

  private async makeReferences(checks: readonly CheckOf<'reference'>[]): Promise<void> {
    const { transaction, pace } = this.statement;
    const rows = await pace.unlessCancelled(transaction.getMany(checks.map(({ key }) => key)));
    // All of them end before the first error is told: none may go on in a transaction that has failed.
    const errors = await Promise.all(
      checks.map((check, i) => this.reference(check, rows[i]).catch((error: unknown) => error)),
    );
    const first = errors.find((error) => error !== undefined);
    if (first !== undefined) throw first;
  }

  /** Throws SqlError, DbError. */
  private async reference(
    check: CheckOf<'reference'>,
    value: Uint8Array | undefined,
  ): Promise<void> {
    const table = this.tableOf(check);
    const foreignKey = table?.foreignKeys.find(({ oid }) => oid === check.constraint);
    if (value === undefined || table === undefined || foreignKey === undefined) return;
    const store = new TableStore(table);
    const all = table.columns.map(() => true);
    const row = store.decodeRow(check.key, value, all);
    const values = valuesAt(row, ownOffsets(table, foreignKey));
    if (!needsTarget(store, foreignKey, values)) return;
    const target = this.targetOf(foreignKey);
    if (await this.isThere(target, foreignKey, values)) return;
    throw missingTarget(this.statement, store, foreignKey, { row, target });
  }

  private isThere(
    target: TableDescriptor,
    foreignKey: ForeignKeyDescriptor,
    values: readonly Datum[],
  ): Promise<boolean> {
    const name = `${foreignKey.oid}/${valuesKey(values)}`;
    let found = this.targets.get(name);
    if (found === undefined) {
      const { transaction, pace } = this.statement;
      found = pace.unlessCancelled(findTarget(transaction, target, foreignKey, values));
      this.targets.set(name, found);
    }
    return found;
  }

  /** Throws SqlError, DbError. */
  private async makeReferenced(check: CheckOf<'referenced'>): Promise<void> {
    const parent = this.tableOf(check);
    const reference = this.snapshot
      .referencing(check.table)
      .find(({ foreignKey }) => foreignKey.oid === check.constraint);
    if (parent === undefined || reference === undefined) return;
    const { table: child, foreignKey } = reference;
    const { values } = check;
    // Another row may have taken the key since.
    if (await this.isThere(parent, foreignKey, values)) return;
    this.tables.add(child);
    if (!(await this.isReferredTo(child, foreignKey, values))) return;
    const offsets = targetOffsets(parent, foreignKey);
    const row: Row = parent.columns.map((_column, i) => values[offsets.indexOf(i)] ?? null);
    throw stillReferenced(this.statement, { parent, child, foreignKey }, row);
  }

  private async isReferredTo(
    child: TableDescriptor,
    foreignKey: ForeignKeyDescriptor,
    values: readonly Datum[],
  ): Promise<boolean> {
    const store = new TableStore(child);
    const offsets = ownOffsets(child, foreignKey);
    for await (const _row of referringRows(this.statement, store, offsets, values)) return true;
    const isKnown = () => false;
    for await (const _row of laterReferringRows(this.statement, store, offsets, values, isKnown))
      return true;
    return false;
  }

  /** Makes the entries that the indexes are behind with. Throws 23505, DbError. */
  private async makeUnique(checks: readonly CheckOf<'unique'>[]): Promise<void> {
    const { transaction, pace } = this.statement;
    const known = checks.flatMap((check) => {
      const table = this.tableOf(check);
      const index = table?.indexes.find(({ number }) => number === check.index);
      return table === undefined || index === undefined ? [] : [{ check, table, index }];
    });
    const lock = checks.length > uniqueLocksMax ? {} : lockOptions(this.statement, 'exclusive');
    const keys = known.map(({ check }) => check.key);
    const entries = await pace.unlessCancelled(transaction.getMany(keys, lock));
    for (const [i, { check, table, index }] of known.entries())
      this.settle(check, entries[i], () => this.duplicate(table, index, check.key));
  }

  /** @param entry the row that the index has */
  private settle(
    { key, come, gone }: CheckOf<'unique'>,
    entry: Uint8Array | undefined,
    duplicate: () => SqlError,
  ): void {
    const { transaction } = this.statement;
    const same = (one: Uint8Array) => entry !== undefined && compareBytes(one, entry) === 0;
    const rows = come.filter((one) => !same(one));
    if (entry !== undefined && !gone.some(same)) rows.push(entry);
    const [row, second] = rows;
    if (second !== undefined) throw duplicate();
    if (row === undefined) {
      if (entry !== undefined) transaction.delete(key);
    } else if (entry === undefined) transaction.insert(key, row);
    else if (!same(row)) transaction.put(key, row);
  }

  private duplicate(table: TableDescriptor, index: IndexDescriptor, key: Uint8Array): SqlError {
    const rules = rulesOf(table).indexes.find((one) => one.store.index === index);
    if (rules === undefined) throw new RangeError('an index of a table has rules');
    const values = rules.store.valuesOf(key);
    return duplicateEntry(new TableStore(table), index, values, this.statement.evaluation);
  }

  /**
   * The table whose rows are to be looked at; undefined: it has been dropped. Throws 40001 where its rows have gone elsewhere:
   * the transaction itself does not do that to what it has still to check.
   */
  private tableOf({ table: id, storageId }: PutOff): TableDescriptor | undefined {
    const table = this.snapshot.table(id);
    if (table === undefined) return undefined;
    if (table.storageId !== storageId)
      throw new SqlError(
        '40001',
        `table "${table.name}" was changed or dropped by another session`,
      );
    this.tables.add(table);
    return table;
  }

  private targetOf(foreignKey: ForeignKeyDescriptor): TableDescriptor {
    const target = this.snapshot.table(foreignKey.target);
    if (target === undefined) throw new RangeError('a foreign key refers to a table');
    this.tables.add(target);
    return target;
  }
}
