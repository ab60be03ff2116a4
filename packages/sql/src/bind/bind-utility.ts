/** SET, SHOW, transaction control and the statements that have nothing to do here. */
import type { A_Const, Node, TransactionStmt, VariableSetStmt } from 'libpg-query';
import { findTable } from './bind-from.ts';
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

/** SET TRANSACTION … and SET SESSION CHARACTERISTICS AS TRANSACTION …: the latter sets defaults. */
function bindSetMulti(context: BindContext, name: string, args: readonly Node[]): BoundUtility {
  if (name === 'TRANSACTION SNAPSHOT') throw context.unsupported('SET TRANSACTION SNAPSHOT');
  const [only, second] = args;
  if (name === 'TRANSACTION') return { kind: 'set-transaction' };
  if (only === undefined || !('DefElem' in only) || second !== undefined)
    throw context.unsupported('several characteristics in one SET SESSION CHARACTERISTICS');
  const { defname = '', arg, location } = only.DefElem;
  if (arg === undefined) throw context.unsupported(defname, location);
  const setting =
    defname === 'transaction_isolation'
      ? 'default_transaction_isolation'
      : defname === 'transaction_read_only'
        ? 'default_transaction_read_only'
        : undefined;
  if (setting === undefined) throw context.unsupported(`SET SESSION CHARACTERISTICS ${defname}`);
  return {
    kind: 'set',
    name: setting,
    value: settingText(context, arg),
    local: false,
    reset: false,
  };
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

export function bindTransaction(context: BindContext, statement: TransactionStmt): BoundUtility {
  switch (statement.kind) {
    case 'TRANS_STMT_COMMIT':
      return { kind: 'no-transaction', tag: 'COMMIT' };
    case 'TRANS_STMT_ROLLBACK':
      return { kind: 'no-transaction', tag: 'ROLLBACK' };
    case 'TRANS_STMT_SAVEPOINT':
      throw context.error('25P01', 'SAVEPOINT can only be used in transaction blocks', undefined);
    case 'TRANS_STMT_RELEASE':
      throw context.error(
        '25P01',
        'RELEASE SAVEPOINT can only be used in transaction blocks',
        undefined,
      );
    case 'TRANS_STMT_ROLLBACK_TO':
      throw context.error(
        '25P01',
        'ROLLBACK TO SAVEPOINT can only be used in transaction blocks',
        undefined,
      );
    case 'TRANS_STMT_BEGIN':
    case 'TRANS_STMT_START':
      throw context.error(
        '0A000',
        'transaction blocks are not supported yet; each statement commits by itself',
        undefined,
      );
    default:
      throw context.unsupported('prepared transaction');
  }
}

/** VACUUM and ANALYZE have nothing to do here, but the tables they name must be there. */
export function bindVacuum(
  context: BindContext,
  rels: readonly Node[] | undefined,
  isVacuum: boolean,
): BoundUtility {
  for (const node of rels ?? []) {
    if (!('VacuumRelation' in node) || node.VacuumRelation.relation === undefined)
      throw context.unsupported('VACUUM target');
    findTable(context, node.VacuumRelation.relation, false);
  }
  return { kind: 'no-op', tag: isVacuum ? 'VACUUM' : 'ANALYZE' };
}
