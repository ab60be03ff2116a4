/** Databases as functions are given them: by name or by oid. */
import { missingDatabase } from '../catalog/database-catalog.ts';
import type { DatabaseDescriptor } from '../catalog/role.ts';
import type { Datum } from '../session-api.ts';
import { catalogOf } from './sequences.ts';
import type { EvalContext } from './signature.ts';

/** Undefined: no database has the oid. Throws 3D000 for a name. */
export function databaseByValue(
  value: Datum,
  context: EvalContext,
): DatabaseDescriptor | undefined {
  const { snapshot } = catalogOf(context).names;
  if (typeof value !== 'string') return snapshot.databaseById(Number(value));
  if (value === context.database) return snapshot.database;
  const found = snapshot.databases.get(value);
  if (found === undefined) throw missingDatabase(value);
  return found;
}
