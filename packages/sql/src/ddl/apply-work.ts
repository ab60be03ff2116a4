/**
 * Makes the rows of a changed table fit it: checks them against new constraints, enters them into new indexes, or writes
 * all of them anew. Rows are read and written through the statement's transaction. What is written lies under prefixes that
 * nobody else knows before the change commits, so it leaves memory as it comes.
 */
import { columnOffset, type TableDescriptor } from '../catalog/descriptor.ts';
import { indexKeyText, keyText } from '../execute/constraint-errors.ts';
import { type Evaluator, evaluatorOf, type Row } from '../execute/evaluate.ts';
import { evaluateOnce } from '../execute/operator.ts';
import { IndexRules, rowKeyOf, rulesOf } from '../execute/table-rules.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { indexSpan, storageSpan, TableStore } from '../storage/table-store.ts';
import type { DdlContext } from './ddl-context.ts';
import { ReferenceJudge } from './judge-references.ts';
import { PairWriter } from './pair-writer.ts';
import type { TableDraft } from './table-draft.ts';

/** @returns the table, with new storage where its rows were written anew. Throws 23502, 23505, 23514, 23503, DbError. */
export async function applyWork(
  draft: TableDraft,
  before: TableDescriptor,
): Promise<TableDescriptor> {
  const rewrites = draft.work.some((one) => one.kind === 'rewrite');
  if (draft.work.length === 0) return draft.table;
  const ddl = draft.context;
  const { filledAt: _, ...unfilled } = draft.table;
  const after = rewrites ? { ...unfilled, storageId: await ddl.takeStorageId() } : draft.table;
  if (rewrites) ddl.claim(storageSpan(after.storageId));
  else
    for (const one of draft.work) if (one.kind === 'index') ddl.claim(indexSpan(after, one.index));
  const job = new Job(draft, before, after, rewrites);
  await job.run();
  return after;
}

class Job {
  private readonly draft: TableDraft;
  private readonly ddl: DdlContext;
  private readonly before: TableStore;
  private readonly after: TableStore;
  private readonly rewrites: boolean;
  private readonly values: readonly (Evaluator | undefined)[];
  private readonly indexes: readonly IndexRules[];
  private readonly references: readonly ReferenceJudge[];
  private readonly out: PairWriter;
  /** Of each column in the rows as they are; -1: they have not got it. */
  private readonly offsets: readonly number[];
  private lastRowId = 0n;

  constructor(
    draft: TableDraft,
    before: TableDescriptor,
    after: TableDescriptor,
    rewrites: boolean,
  ) {
    this.draft = draft;
    this.ddl = draft.context;
    this.before = new TableStore(before);
    this.after = new TableStore(after);
    this.rewrites = rewrites;
    this.values = after.columns.map(({ attributeNumber }) => {
      const conversion = draft.conversions.get(attributeNumber);
      return conversion === undefined ? undefined : evaluatorOf(conversion);
    });
    const fresh = draft.work.flatMap((one) => (one.kind === 'index' ? [one.index] : []));
    this.indexes = (
      rewrites ? after.indexes : fresh.filter((one) => after.indexes.includes(one))
    ).map((index) => new IndexRules(after, index));
    this.out = new PairWriter(this.ddl);
    this.offsets = after.columns.map(({ attributeNumber }) =>
      before.columns.findIndex((one) => one.attributeNumber === attributeNumber),
    );
    const { run } = this.ddl.options;
    this.references = draft.work.flatMap((one) => {
      if (one.kind !== 'foreign key') return [];
      const { foreignKey } = one;
      const target =
        foreignKey.target === before.id ? before : this.ddl.snapshot.table(foreignKey.target);
      if (target === undefined) throw new RangeError('a foreign key refers to a table');
      return [new ReferenceJudge(run, this.after, foreignKey, target)];
    });
  }

  async run(): Promise<void> {
    const { run } = this.ddl.options;
    const all = this.before.table.columns.map(() => true);
    for await (const batch of run.transaction.scan(this.before.rowsSpan())) {
      run.pace.check();
      const rows: Datum[][] = [];
      for (const { key, value } of batch) {
        const row = await this.convert(this.before.decodeRow(key, value, all));
        this.judge(row);
        rows.push(row);
        if (run.pace.due()) await run.pace.rest();
      }
      for (const references of this.references) await references.judge(rows);
      for (const [i, { key }] of batch.entries()) {
        this.write(key, rows[i] ?? []);
        if (run.pace.due()) await run.pace.rest();
      }
      await this.out.relieve();
    }
    await this.out.end();
  }

  private convert(old: Row): Promise<Datum[]> {
    const { columns } = this.after.table;
    const { run } = this.ddl.options;
    return evaluateOnce(run, () => {
      const row = columns.map((_column, i): Datum => {
        const convert = this.values[i];
        if (convert !== undefined) return convert(old, run.evaluation);
        const offset = this.offsets[i] ?? -1;
        return offset < 0 ? this.missing(i) : (old[offset] ?? null);
      });
      for (const { offset, evaluate } of rulesOf(this.after.table).generated)
        row[offset] = evaluate(row, run.evaluation);
      return row;
    });
  }

  /** What a column that the row has not got is read as. */
  private missing(i: number): Datum {
    return this.after.codec.missingValue(i);
  }

  /** Throws 23502, 23514. */
  private judge(row: Row): void {
    const { table } = this.after;
    const { evaluation } = this.ddl.options.run;
    for (const one of this.draft.work) {
      if (one.kind === 'value') {
        const offset = columnOffset(table, one.attributeNumber);
        const column = table.columns[offset];
        if (column !== undefined) one.judge(row[offset] ?? null, { table, column });
      } else if (one.kind === 'not null') {
        const offset = table.columns.findIndex(
          (column) => column.attributeNumber === one.attributeNumber,
        );
        const column = table.columns[offset];
        if (column?.notNull === true && row[offset] === null)
          throw new SqlError(
            '23502',
            `column "${column.name}" of relation "${table.name}" contains null values`,
            { schema: table.schema, table: table.name, column: column.name },
          );
      } else if (one.kind === 'check') {
        const check = rulesOf(table).checks.find(({ name }) => name === one.check.name);
        if (check?.evaluate(row, evaluation) === false)
          throw new SqlError(
            '23514',
            `check constraint "${check.name}" of relation "${table.name}" is violated by some row`,
            { schema: table.schema, table: table.name, constraint: check.name },
          );
      }
    }
  }

  private write(oldKey: Uint8Array, row: Row): void {
    const { evaluation } = this.ddl.options.run;
    let key = oldKey;
    if (this.rewrites) {
      const { table } = this.after;
      key =
        this.after.keyColumns.length > 0
          ? this.after.rowKey(row)
          : this.after.hiddenKey(this.rowId(oldKey));
      this.out.add(key, this.after.codec.encode(row), () => ({
        index: table.primaryKey?.constraint ?? '',
        key: keyText(this.after, table.primaryKey?.columns ?? [], row, evaluation),
        table,
        row,
      }));
    }
    const rowKey = rowKeyOf(this.after, key);
    for (const rules of this.indexes) {
      const entry = rules.entry(row, rowKey, evaluation);
      if (entry === undefined) continue;
      const { index } = rules.store;
      this.out.add(entry.key, entry.value, () => ({
        index: index.name,
        key: indexKeyText(this.after, index, rules.valuesOf(row, evaluation), evaluation),
        table: this.after.table,
        row,
      }));
    }
  }

  /** Rows keep their hidden ids; rows that had keys get new ones. */
  private rowId(oldKey: Uint8Array): bigint {
    if (this.before.keyColumns.length === 0) return this.before.hiddenRowId(oldKey);
    return ++this.lastRowId;
  }
}
