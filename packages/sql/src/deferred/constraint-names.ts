/** The constraints that SET CONSTRAINTS names. */
import type { WrittenConstraint } from '../bind/bound.ts';
import type { Deferrable, TableDescriptor } from '../catalog/descriptor.ts';
import { catalogOf } from '../functions/sequences.ts';
import type { EvalContext } from '../functions/signature.ts';
import { SqlError } from '../sql-error.ts';

/**
 * The oids of those that can be deferred: all of a name in the first schema that has any.
 * @param deferred they are to be: each must be deferrable. Throws 42704, 42809, 3F000, 0A000.
 */
export function constraintsNamed(
  evaluation: EvalContext,
  written: readonly WrittenConstraint[],
  deferred: boolean,
): number[] {
  const { names } = catalogOf(evaluation);
  const { snapshot } = names;
  return written.flatMap(({ database, schema, name }) => {
    if (database !== undefined && database !== evaluation.database)
      throw new SqlError(
        '0A000',
        `cross-database references are not implemented: "${database}.${schema ?? ''}.${name}"`,
      );
    const own = names.schemaOf(schema);
    if (own !== undefined && !snapshot.schemas.has(own))
      throw new SqlError('3F000', `schema "${own}" does not exist`);
    for (const one of own === undefined ? names.path : [own]) {
      const found = snapshot
        .tables()
        .filter((table) => table.schema === one)
        .flatMap((table) => constraintsOf(table).filter((constraint) => constraint.name === name));
      if (found.length === 0) continue;
      const deferrable = found.filter((constraint) => constraint.deferrable !== undefined);
      if (deferred && deferrable.length < found.length)
        throw new SqlError('42809', `constraint "${name}" is not deferrable`);
      return deferrable.map(({ oid }) => oid);
    }
    throw new SqlError('42704', `constraint "${name}" does not exist`);
  });
}

interface Constraint {
  readonly oid: number;
  readonly name: string;
  readonly deferrable?: Deferrable | undefined;
}

function constraintsOf({
  primaryKey,
  indexes,
  checks,
  foreignKeys,
}: TableDescriptor): Constraint[] {
  const key =
    primaryKey === undefined
      ? []
      : [{ oid: primaryKey.constraintOid, name: primaryKey.constraint }];
  const unique = indexes
    .filter(({ constraintOid }) => constraintOid !== 0)
    .map(({ constraintOid: oid, name, deferrable }) => ({ oid, name, deferrable }));
  return [...key, ...unique, ...checks, ...foreignKeys];
}
