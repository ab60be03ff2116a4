/** ALTER MATERIALIZED VIEW, or TABLE of one: what tunes its storage. Its columns and rows are what the query makes them. */
import type { AlterTableCmd } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { SqlError } from '../sql-error.ts';
import { checkStorage } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';
import { resetRangeParameters, setRangeParameters } from './range-parameters.ts';

/** As PostgreSQL calls what cannot be done. */
const actions: Readonly<Record<string, string>> = {
  AT_AddColumn: 'ADD COLUMN',
  AT_DropColumn: 'DROP COLUMN',
  AT_ColumnDefault: 'ALTER COLUMN ... SET DEFAULT',
  AT_DropNotNull: 'ALTER COLUMN ... DROP NOT NULL',
  AT_SetNotNull: 'ALTER COLUMN ... SET NOT NULL',
  AT_DropExpression: 'ALTER COLUMN ... DROP EXPRESSION',
  AT_AlterColumnType: 'ALTER COLUMN ... SET DATA TYPE',
  AT_AddIdentity: 'ALTER COLUMN ... ADD IDENTITY',
  AT_SetIdentity: 'ALTER COLUMN ... SET',
  AT_DropIdentity: 'ALTER COLUMN ... DROP IDENTITY',
  AT_AddConstraint: 'ADD CONSTRAINT',
  AT_AlterConstraint: 'ALTER CONSTRAINT',
  AT_ValidateConstraint: 'VALIDATE CONSTRAINT',
  AT_DropConstraint: 'DROP CONSTRAINT',
  AT_SetLogged: 'SET LOGGED',
  AT_SetUnLogged: 'SET UNLOGGED',
  AT_EnableTrig: 'ENABLE TRIGGER',
  AT_DisableTrig: 'DISABLE TRIGGER',
  AT_AddInherit: 'INHERIT',
  AT_DropInherit: 'NO INHERIT',
  AT_AddOf: 'OF',
  AT_DropOf: 'NOT OF',
  AT_AttachPartition: 'ATTACH PARTITION',
  AT_DetachPartition: 'DETACH PARTITION',
  AT_EnableRowSecurity: 'ENABLE ROW SECURITY',
  AT_DisableRowSecurity: 'DISABLE ROW SECURITY',
  AT_ForceRowSecurity: 'FORCE ROW SECURITY',
  AT_NoForceRowSecurity: 'NO FORCE ROW SECURITY',
};

/** Throws 42809, 42703, 42704, 22023, 0A000. */
export function alterMaterializedView(
  ddl: DdlContext,
  view: TableDescriptor,
  commands: readonly AlterTableCmd[],
): void {
  let { ranges } = view;
  for (const { subtype = 'AT_AddColumn', name = '', def } of commands)
    switch (subtype) {
      case 'AT_SetRelOptions':
      case 'AT_ResetRelOptions': {
        const options = def !== undefined && 'List' in def ? (def.List.items ?? []) : [];
        checkStorage(ddl.binder(), { options });
        const change = subtype === 'AT_SetRelOptions' ? setRangeParameters : resetRangeParameters;
        ranges = change(ranges, options);
        break;
      }
      case 'AT_SetTableSpace':
        checkStorage(ddl.binder(), { tablespacename: name });
        break;
      case 'AT_SetAccessMethod':
        checkStorage(ddl.binder(), { accessMethod: name });
        break;
      case 'AT_SetStatistics':
      case 'AT_SetStorage':
        // There is nothing to tune, but the column is looked for.
        if (view.columns.some((one) => one.name === name)) break;
        throw new SqlError('42703', `column "${name}" of relation "${view.name}" does not exist`);
      case 'AT_ClusterOn':
        // Rows lie as the query gave them.
        if (view.indexes.some((one) => one.name === name)) break;
        throw new SqlError('42704', `index "${name}" for table "${view.name}" does not exist`);
      case 'AT_DropCluster':
        break;
      default:
        throw refused(ddl, view, subtype);
    }
  if (ranges !== view.ranges) ddl.editor.put({ ...view, ranges });
}

function refused(ddl: DdlContext, { name }: TableDescriptor, subtype: string): SqlError {
  const action = actions[subtype];
  if (action === undefined) {
    const shown = subtype.replace(/^AT_/, '').replace(/([a-z])([A-Z])/g, '$1 $2');
    return ddl.binder().unsupported(`ALTER MATERIALIZED VIEW … ${shown.toUpperCase()}`);
  }
  return new SqlError('42809', `ALTER action ${action} cannot be performed on relation "${name}"`, {
    detail: 'This operation is not supported for materialized views.',
  });
}
