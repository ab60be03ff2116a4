/** CREATE TABLE … (LIKE other INCLUDING …): columns, and on request what hangs on them. Called by create-table.ts. */
import type { TableLikeClause } from 'libpg-query';
import { type ColumnDescriptor, columnAt, type TableDescriptor } from '../catalog/descriptor.ts';
import { SqlError } from '../sql-error.ts';
import { missingRelation } from './ddl-context.ts';
import { indexNameColumns } from './object-names.ts';
import type { TableDraft } from './table-draft.ts';

/** Bits of the grammar's options. */
const including = {
  comments: 1,
  constraints: 4,
  defaults: 8,
  generated: 16,
  identity: 32,
  indexes: 64,
};

export interface CopiedTable {
  readonly source: TableDescriptor;
  readonly options: number;
  /** Attribute numbers there and here. */
  readonly numbers: ReadonlyMap<number, number>;
}

/** Throws 42P01, 42809, 42701. */
export async function copyColumns(draft: TableDraft, like: TableLikeClause): Promise<CopiedTable> {
  const { context } = draft;
  const { relation, options = 0 } = like;
  const { schemaname, relname = '', location } = relation ?? {};
  const source = context.find(schemaname, relname);
  if (source === undefined) {
    const missing = missingRelation(context, schemaname, relname, 'relation');
    throw context.binder().error(missing.code, missing.message, location);
  }
  if (source.kind !== 'table')
    throw context.binder().unsupported(`LIKE of a ${source.kind}`, location);
  const has = (bit: number) => (options & bit) !== 0;
  const numbers = new Map<number, number>();
  for (const column of source.columns) {
    if (draft.table.columns.some((one) => one.name === column.name))
      throw new SqlError('42701', `column "${column.name}" specified more than once`);
    const attributeNumber = draft.nextAttributeNumber();
    numbers.set(column.attributeNumber, attributeNumber);
    const { identity, generated, missing: _, default: stored, ...plain } = column;
    const copy: ColumnDescriptor = {
      ...plain,
      attributeNumber,
      default: identity === undefined && has(including.defaults) ? stored : undefined,
      ...(generated !== undefined && has(including.generated) ? { generated } : {}),
    };
    draft.change({ columns: [...draft.table.columns, copy] });
    if (identity !== undefined && has(including.identity) && stored?.kind === 'nextval') {
      await draft.giveSequence(copy, identity, []);
      const made = draft.column(copy.name).default;
      const model = context.snapshot.relations.get(stored.sequence);
      const own =
        made?.kind === 'nextval' ? context.snapshot.relations.get(made.sequence) : undefined;
      if (own?.kind === 'sequence' && model?.kind === 'sequence')
        context.editor.put({ ...own, options: model.options });
    }
  }
  if (has(including.constraints))
    for (const { name, expression } of source.checks)
      draft.change({
        checks: [...draft.table.checks, { oid: await context.takeId(), name, expression }],
      });
  if (has(including.comments)) {
    const comments = { ...draft.table.comments };
    for (const [from, to] of numbers) {
      const text = source.comments[from];
      if (text !== undefined) comments[to] = text;
    }
    draft.change({ comments });
  }
  return { source, options, numbers };
}

/** Keys, UNIQUE constraints and other indexes, under names of their own. */
export async function copyIndexes(draft: TableDraft, copied: CopiedTable): Promise<void> {
  const { source, options, numbers } = copied;
  if ((options & including.indexes) === 0) return;
  const nodes = (names: readonly string[]) => names.map((sval) => ({ String: { sval } }));
  const { primaryKey } = source;
  if (primaryKey !== undefined) {
    const keys = primaryKey.columns.map((at) => source.columns[at]?.name ?? '');
    await draft.addConstraint({ contype: 'CONSTR_PRIMARY', keys: nodes(keys) }, undefined);
  }
  const numberOf = (attributeNumber: number) => numbers.get(attributeNumber) ?? attributeNumber;
  for (const index of source.indexes) {
    const names = index.columns.map((one) =>
      one.attributeNumber === 0 ? 'expr' : columnAt(source, one.attributeNumber).name,
    );
    if (index.constraintOid !== 0) {
      const attributes = {
        deferrable: index.deferrable !== undefined,
        initdeferred: index.deferrable === 'initially deferred',
      };
      const keys = nodes(names);
      const contype = index.primary === true ? 'CONSTR_PRIMARY' : 'CONSTR_UNIQUE';
      await draft.addConstraint({ contype, keys, ...attributes }, undefined);
      continue;
    }
    const oid = await draft.context.takeId();
    draft.addIndex({
      ...index,
      oid,
      number: oid,
      name: draft.indexName(undefined, indexNameColumns(names), 'idx'),
      columns: index.columns.map((one) => ({
        ...one,
        attributeNumber: one.attributeNumber === 0 ? 0 : numberOf(one.attributeNumber),
      })),
      included: index.included.map(numberOf),
    });
  }
}
