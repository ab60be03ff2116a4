/** ALTER TABLE … ALTER CONSTRAINT: whether and when a foreign key may be checked later. */
import type { ATAlterConstraint } from 'libpg-query';
import { SqlError } from '../sql-error.ts';
import { deferrableField } from './constraint-attributes.ts';
import type { TableDraft } from './table-draft.ts';

/** Throws 42704, 42809, 0A000. */
export function alterConstraint(draft: TableDraft, statement: ATAlterConstraint): void {
  const {
    conname: name = '',
    alterDeferrability,
    alterEnforceability,
    alterInheritability,
  } = statement;
  const { table, context } = draft;
  if (alterEnforceability === true)
    throw context.binder().unsupported('ALTER CONSTRAINT … ENFORCED');
  if (alterInheritability === true)
    throw context.binder().unsupported('ALTER CONSTRAINT … INHERIT');
  const found = table.foreignKeys.find((one) => one.name === name);
  if (found === undefined) {
    const { primaryKey, indexes, checks } = table;
    const others = [...indexes.filter((one) => one.constraintOid !== 0), ...checks];
    const isOther = primaryKey?.constraint === name || others.some((one) => one.name === name);
    const what = `constraint "${name}" of relation "${table.name}"`;
    throw isOther
      ? new SqlError('42809', `${what} is not a foreign key constraint`)
      : new SqlError('42704', `${what} does not exist`);
  }
  if (alterDeferrability !== true) return;
  const { deferrable: _, ...fixed } = found;
  const changed = { ...fixed, ...deferrableField(statement) };
  draft.change({ foreignKeys: table.foreignKeys.map((one) => (one === found ? changed : one)) });
}
