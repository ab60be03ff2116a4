/** FOREIGN KEY clauses: the table and key that they refer to, and what happens when that changes. */
import type { Constraint } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import type {
  ForeignKeyDescriptor,
  IndexColumn,
  ReferentialAction,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import { isMaterialized } from '../catalog/relation-word.ts';
import { isTemporarySchema } from '../catalog/temporary-schema.ts';
import { operators } from '../functions/operators.ts';
import { resolveOperator } from '../functions/resolve.ts';
import { holds } from '../roles/access.ts';
import { denied } from '../roles/role-errors.ts';
import { SqlError } from '../sql-error.ts';
import { baseType } from '../types/domain.ts';
import { deferrableField } from './constraint-attributes.ts';
import { type DdlContext, missingRelation } from './ddl-context.ts';

const actions: Readonly<Record<string, ReferentialAction>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
};

/** The table that gets the key. */
interface Referring {
  readonly context: DdlContext;
  readonly table: TableDescriptor;
  constraintName(given: string | undefined, column: string, label: string): string;
}

/** Throws 42P01, 42703, 42830, 42804, 55000, 0A000. */
export async function foreignKeyOf(
  draft: Referring,
  constraint: Constraint,
  column: string | undefined,
): Promise<ForeignKeyDescriptor> {
  const { context, table } = draft;
  const { pktable, location } = constraint;
  const binder = context.binder();
  if (pktable === undefined) throw binder.unsupported('FOREIGN KEY without a table', location);
  if ((constraint.fk_del_set_cols ?? []).length > 0)
    throw binder.unsupported('column list of ON DELETE SET', location);
  if (constraint.fk_matchtype === 'p')
    throw new SqlError('0A000', 'MATCH PARTIAL not yet implemented');
  const target = targetTable(draft, pktable.schemaname, pktable.relname ?? '');
  const [ownTemporary, itsTemporary] = [table, target].map((one) => isTemporarySchema(one.schema));
  if (ownTemporary !== itsTemporary)
    throw new SqlError(
      '42P16',
      ownTemporary
        ? 'constraints on temporary tables may reference only temporary tables'
        : 'constraints on permanent tables may reference only permanent tables',
    );
  const names = column === undefined ? nameParts(constraint.fk_attrs) : [column];
  const columns = names.map((name) => {
    const found = table.columns.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new SqlError(
      '42703',
      `column "${name}" referenced in foreign key constraint does not exist`,
    );
  });
  const targets = targetColumns(target, nameParts(constraint.pk_attrs));
  if (columns.length !== targets.length)
    throw new SqlError(
      '42830',
      'number of referencing and referenced columns for foreign key disagree',
    );
  const name = draft.constraintName(constraint.conname, names.join('_'), 'fkey');
  columns.forEach((one, i) => {
    const other = targets[i];
    const equal = operators.get('=') ?? [];
    const types = [other?.type ?? one.type, one.type].map(baseType);
    if (other === undefined || resolveOperator(equal, types).kind !== 'found')
      throw new SqlError('42804', `foreign key constraint "${name}" cannot be implemented`, {
        detail: `Key columns "${one.name}" and "${other?.name ?? ''}" are of incompatible types: ${one.type.display} and ${other?.type.display ?? ''}.`,
      });
  });
  return {
    oid: await context.takeId(),
    name,
    columns: columns.map((one) => one.attributeNumber),
    target: target.id,
    targetColumns: targets.map((one) => one.attributeNumber),
    onDelete: actions[constraint.fk_del_action ?? 'a'] ?? 'no action',
    onUpdate: actions[constraint.fk_upd_action ?? 'a'] ?? 'no action',
    matchFull: constraint.fk_matchtype === 'f',
    ...deferrableField(constraint),
  };
}

function targetTable(draft: Referring, schema: string | undefined, name: string): TableDescriptor {
  const { table, context } = draft;
  if (name === table.name && (schema === undefined || schema === table.schema)) return table;
  const found = context.find(schema, name);
  if (found === undefined) throw missingRelation(context, schema, name, 'relation');
  if (found.kind !== 'table' || isMaterialized(found))
    throw new SqlError('42809', `referenced relation "${name}" is not a table`);
  if (!holds(found, context.authority, 'x', new Set()))
    throw denied(`permission denied for table ${name}`);
  return found;
}

function numberOf({ attributeNumber }: IndexColumn): number {
  return attributeNumber;
}

/** The columns named, which must be those of a unique key; none named: the primary key's. */
function targetColumns(target: TableDescriptor, names: readonly string[]) {
  const primary = (target.primaryKey?.columns ?? []).flatMap(
    (offset) => target.columns[offset] ?? [],
  );
  if (names.length === 0) {
    if (target.indexes.some((one) => one.primary === true))
      throw new SqlError(
        '55000',
        `cannot use a deferrable primary key for referenced table "${target.name}"`,
      );
    if (primary.length === 0)
      throw new SqlError('42704', `there is no primary key for referenced table "${target.name}"`);
    return primary;
  }
  const columns = names.map((name) => {
    const found = target.columns.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new SqlError(
      '42703',
      `column "${name}" referenced in foreign key constraint does not exist`,
    );
  });
  const wanted = new Set(columns.map((one) => one.attributeNumber));
  const keys = [
    primary.map((one) => one.attributeNumber),
    ...target.indexes
      .filter((one) => one.unique && one.predicate === undefined && one.deferrable === undefined)
      .map((one) => one.columns.map((part) => part.attributeNumber)),
  ];
  const isWanted = (key: readonly number[]) =>
    key.length === wanted.size &&
    key.every((number) => wanted.has(number)) &&
    wanted.size === names.length;
  const later = target.indexes.filter((one) => one.deferrable !== undefined);
  if (!keys.some(isWanted) && later.some((one) => isWanted(one.columns.map(numberOf))))
    throw new SqlError(
      '55000',
      `cannot use a deferrable unique constraint for referenced table "${target.name}"`,
    );
  if (!keys.some(isWanted))
    throw new SqlError(
      '42830',
      `there is no unique constraint matching given keys for referenced table "${target.name}"`,
    );
  return columns;
}
