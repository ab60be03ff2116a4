/** Transaction control: BEGIN and its kin, SET TRANSACTION, SET SESSION CHARACTERISTICS. */
import type { Node, TransactionStmt } from 'libpg-query';
import type { BoundUtility, TransactionModes } from './bound.ts';
import type { BindContext } from './context.ts';

export function bindTransaction(context: BindContext, statement: TransactionStmt): BoundUtility {
  const { kind, savepoint_name = '', chain = false, options } = statement;
  switch (kind) {
    case 'TRANS_STMT_BEGIN':
      return { kind: 'begin', tag: 'BEGIN', modes: bindModes(context, options ?? []) };
    case 'TRANS_STMT_START':
      return { kind: 'begin', tag: 'START TRANSACTION', modes: bindModes(context, options ?? []) };
    case 'TRANS_STMT_COMMIT':
      return { kind: 'commit', chain };
    case 'TRANS_STMT_ROLLBACK':
      return { kind: 'rollback', chain };
    case 'TRANS_STMT_SAVEPOINT':
      return { kind: 'savepoint', name: savepoint_name };
    case 'TRANS_STMT_RELEASE':
      return { kind: 'release', name: savepoint_name };
    case 'TRANS_STMT_ROLLBACK_TO':
      return { kind: 'rollback-to', name: savepoint_name };
    case 'TRANS_STMT_PREPARE':
      throw context.unsupported('PREPARE TRANSACTION');
    case 'TRANS_STMT_COMMIT_PREPARED':
      throw context.unsupported('COMMIT PREPARED');
    case 'TRANS_STMT_ROLLBACK_PREPARED':
      throw context.unsupported('ROLLBACK PREPARED');
    default:
      throw context.unsupported('transaction statement');
  }
}

/** SET TRANSACTION … and SET SESSION CHARACTERISTICS AS TRANSACTION …. */
export function bindSetMulti(
  context: BindContext,
  name: string,
  args: readonly Node[],
): BoundUtility {
  if (name === 'TRANSACTION SNAPSHOT') throw context.unsupported('SET TRANSACTION SNAPSHOT');
  const modes = bindModes(context, args);
  return { kind: name === 'TRANSACTION' ? 'set-transaction' : 'set-characteristics', modes };
}

/** The last word on each mode counts. */
function bindModes(context: BindContext, options: readonly Node[]): TransactionModes {
  let modes: TransactionModes = {};
  for (const option of options) {
    if (!('DefElem' in option)) throw context.unsupported('transaction mode');
    const { defname = '', arg, location } = option.DefElem;
    if (arg === undefined || !('A_Const' in arg)) throw context.unsupported(defname, location);
    const { sval, ival } = arg.A_Const;
    const on = (ival?.ival ?? 0) !== 0;
    if (defname === 'transaction_isolation') modes = { ...modes, isolation: sval?.sval ?? '' };
    else if (defname === 'transaction_read_only') modes = { ...modes, readOnly: on };
    else if (defname === 'transaction_deferrable') modes = { ...modes, deferrable: on };
    else throw context.unsupported(defname, location);
  }
  return modes;
}
