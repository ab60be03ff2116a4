/**
 * UPDATE and DELETE of one row by its whole key that the row's leaseholder can do by itself, in one request: what is assigned
 * must be a matter of the row and of values known beforehand, and nothing else may hang on it: no index that would have to
 * change, no foreign key, nothing to return. Such a statement, in a transaction of its own, does not wait for another one of its
 * kind to be committed.
 */
import { conjuncts } from '../bind/conjuncts.ts';
import type { Expression } from '../bind/expression.ts';
import { markColumns } from '../bind/expression-tree.ts';
import { bindStored } from '../bind/stored-expression.ts';
import { columnOffset, type IndexDescriptor, type TableDescriptor } from '../catalog/descriptor.ts';
import { encodeExpression, type Json } from '../execute/push/expression-text.ts';
import type { PlannedProgram } from '../execute/push/planned-program.ts';
import { passingForm } from '../execute/push/program.ts';
import { isPushableType } from '../execute/push/pushable.ts';
import type { TableScan } from './plan.ts';
import { ProgramDraft } from './program-draft.ts';

/** A row that its leaseholder writes, or takes away. */
export interface RowProgram extends PlannedProgram {
  /** Of one key. */
  readonly scan: TableScan;
  /** The row goes: foreign keys of other tables must not refer to it. */
  readonly deletes: boolean;
}

export interface RowQuestion {
  /** Of one key. */
  readonly scan: TableScan;
  /** What is asked of the row beside its key. */
  readonly filter: Expression | undefined;
  /** By offset into the table's columns; undefined = NULL. In place of the list: the row is deleted. */
  readonly assignments:
    | readonly {
        readonly column: number;
        readonly value: Expression | undefined;
      }[]
    | 'delete';
}

/** Undefined: it is not such a statement. */
export function pushRow({ scan, filter, assignments }: RowQuestion): RowProgram | undefined {
  const { table } = scan.store;
  const draft = new ProgramDraft(scan);
  const conditions = conjuncts(filter).map((one) => encodeExpression(one, draft));
  if (conditions.includes(undefined)) return undefined;
  const output = assignments === 'delete' ? deletion(table) : newRow(scan, draft, assignments);
  const program = output && draft.finish(conditions as Json[], output);
  return program && { ...program, scan, deletes: assignments === 'delete' };
}

type OutputOf = Parameters<ProgramDraft['finish']>[1];

function deletion({ indexes, foreignKeys }: TableDescriptor): OutputOf | undefined {
  if (indexes.length + foreignKeys.length > 0) return undefined;
  const nothing = { assignments: [], generated: [], notNull: [], checks: [] };
  return () => ({ kind: 'row', stored: null, ...nothing });
}

function newRow(
  scan: TableScan,
  draft: ProgramDraft,
  assignments: Exclude<RowQuestion['assignments'], 'delete'>,
): OutputOf | undefined {
  const { table, keyColumns, codec } = scan.store;
  const generated = table.columns.flatMap((column, offset) =>
    column.generated === undefined
      ? []
      : [{ column: offset, value: bindStored(column.generated, 'GENERATED', table, column) }],
  );
  const written = [...assignments, ...generated].map(({ column }) => column);
  const isWritten = (offset: number): boolean => written.includes(offset);
  if (keyColumns.some(({ index }) => isWritten(index))) return undefined;
  if (!written.every((offset) => isPushableType(draft.typeOf(offset)))) return undefined;
  if (table.indexes.some((index) => columnsOf(table, index).some(isWritten))) return undefined;
  const linked = table.foreignKeys.flatMap(({ columns }) => columns);
  if (linked.some((attribute) => isWritten(columnOffset(table, attribute)))) return undefined;
  const place = ({ column, value }: (typeof assignments)[number]) => {
    const made = value ?? nullOf(draft, column);
    return [draft.place(column), encodeExpression(made, draft)] as const;
  };
  const assigned = assignments.map(place);
  const filled = generated.map(place);
  const checks = table.checks.map(({ expression }) =>
    encodeExpression(bindStored(expression, 'CHECK', table), draft),
  );
  if ([...assigned, ...filled].some(([, value]) => value === undefined)) return undefined;
  if (checks.includes(undefined)) return undefined;
  const notNull = written.filter((offset) => table.columns[offset]?.notNull === true);
  return () => ({
    kind: 'row',
    stored: codec.stored.map(({ index, form }) =>
      index < 0 ? [-1, passingForm(form)] : [draft.place(index), draft.formOf(index)],
    ),
    assignments: assigned as [number, Json][],
    generated: filled as [number, Json][],
    notNull: notNull.map((offset) => draft.place(offset)),
    checks: checks as Json[],
  });
}

function nullOf(draft: ProgramDraft, column: number): Expression {
  const type = draft.typeOf(column);
  return { kind: 'constant', type, modifier: -1, location: undefined, value: null };
}

/** All columns on which an entry of the index depends. */
function columnsOf(table: TableDescriptor, index: IndexDescriptor): number[] {
  const needed = table.columns.map(() => false);
  for (const { attributeNumber, expression } of index.columns)
    if (expression === undefined) needed[columnOffset(table, attributeNumber)] = true;
    else markColumns(bindStored(expression, 'INDEX', table), needed);
  for (const attribute of index.included) needed[columnOffset(table, attribute)] = true;
  if (index.predicate !== undefined)
    markColumns(bindStored(index.predicate, 'INDEX WHERE', table), needed);
  return needed.flatMap((is, offset) => (is ? [offset] : []));
}
