/** SET, and the statements that have nothing to do here. */
import type { A_Const, ConstraintsSetStmt, Node, VacuumStmt, VariableSetStmt } from 'libpg-query';
import type { TableDescriptor } from '../catalog/descriptor.ts';
import { findTable } from './bind-from.ts';
import { bindSetMulti } from './bind-transaction.ts';
import type { BoundUtility } from './bound.ts';
import type { BindContext } from './context.ts';

export function bindSet(context: BindContext, statement: VariableSetStmt): BoundUtility {
  const { kind = 'VAR_SET_VALUE', name = '', args, is_local } = statement;
  const local = is_local === true;
  switch (kind) {
    case 'VAR_SET_VALUE':
      return {
        kind: 'set',
        name,
        value: (args ?? []).map((node) => settingText(context, node)).join(', '),
        local,
        reset: false,
      };
    case 'VAR_SET_DEFAULT':
    case 'VAR_RESET':
      return { kind: 'set', name, value: undefined, local, reset: kind === 'VAR_RESET' };
    case 'VAR_RESET_ALL':
      return { kind: 'reset-all' };
    case 'VAR_SET_MULTI':
      return bindSetMulti(context, name, args ?? []);
    default:
      throw context.unsupported('SET … FROM CURRENT');
  }
}

function settingText(context: BindContext, node: Node): string {
  if ('A_Const' in node) return constantText(context, node.A_Const);
  if ('TypeCast' in node)
    throw context.unsupported('SET TIME ZONE INTERVAL', node.TypeCast.location);
  throw context.unsupported('expression in SET');
}

function constantText(context: BindContext, value: A_Const): string {
  if (value.sval !== undefined) return value.sval.sval ?? '';
  if (value.ival !== undefined) return String(value.ival.ival ?? 0);
  if (value.fval !== undefined) return value.fval.fval ?? '0';
  if (value.boolval !== undefined) return value.boolval.boolval === true ? 'on' : 'off';
  throw context.unsupported('NULL in SET', value.location);
}

export function bindSetConstraints({ constraints, deferred }: ConstraintsSetStmt): BoundUtility {
  const names = constraints?.flatMap((node) => {
    if (!('RangeVar' in node)) return [];
    const { catalogname: database, schemaname: schema, relname: name = '' } = node.RangeVar;
    return [{ database, schema, name }];
  });
  return { kind: 'set-constraints', names, deferred: deferred === true };
}

/** VACUUM by itself has nothing to do here, but the tables it names must be there. */
export function bindVacuum(
  context: BindContext,
  { rels, options, is_vacuumcmd }: VacuumStmt,
): BoundUtility {
  const isVacuum = is_vacuumcmd === true;
  const analyzes =
    !isVacuum ||
    (options ?? []).some((one) => 'DefElem' in one && one.DefElem.defname === 'analyze');
  const tables = (rels ?? []).map((node): TableDescriptor => {
    if (!('VacuumRelation' in node) || node.VacuumRelation.relation === undefined)
      throw context.unsupported('VACUUM target');
    return findTable(context, node.VacuumRelation.relation, false);
  });
  return {
    kind: 'analyze',
    tag: isVacuum ? 'VACUUM' : 'ANALYZE',
    tables: !analyzes ? [] : rels === undefined ? undefined : tables,
  };
}
