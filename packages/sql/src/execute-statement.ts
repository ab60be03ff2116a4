/** EXECUTE: a statement that was prepared by name, with arguments that are computed as a query of one row. */
import type { ExecuteStmt, Node } from 'libpg-query';
import type { Statement } from './parse/parser.ts';
import type { ColumnDescription, Oid, PreparedStatement } from './session-api.ts';
import { SqlError } from './sql-error.ts';
import { type SqlType, unknownType } from './types/type.ts';

/** What `prepare` hands out for EXECUTE. */
export class Execution<P extends PreparedStatement> implements PreparedStatement {
  readonly endsFailure = false;
  readonly target: P;
  /** Undefined: there are none. */
  readonly arguments: P | undefined;

  constructor(target: P, argumentsQuery: P | undefined) {
    this.target = target;
    this.arguments = argumentsQuery;
  }

  get parameterTypes(): readonly Oid[] {
    return this.arguments?.parameterTypes ?? [];
  }

  get columns(): readonly ColumnDescription[] | undefined {
    return this.target.columns;
  }

  get readOnly(): boolean {
    return this.target.readOnly;
  }
}

export function executeOf({ node: { tree } }: Statement): ExecuteStmt | undefined {
  return 'ExecuteStmt' in tree ? tree.ExecuteStmt : undefined;
}

/** The query that computes the arguments in the types of the parameters; undefined where there are none. Throws 42601. */
export function argumentsQuery(
  statement: Statement,
  execute: ExecuteStmt,
  types: readonly SqlType[],
): Statement | undefined {
  const { params = [], name = '' } = execute;
  if (params.length !== types.length)
    throw new SqlError('42601', `wrong number of parameters for prepared statement "${name}"`, {
      detail: `Expected ${types.length} parameters but got ${params.length}.`,
    });
  if (params.length === 0) return undefined;
  const targetList = params.map(
    (param, i): Node => ({ ResTarget: { val: castTo(param, types[i] ?? unknownType) } }),
  );
  const tree: Node = {
    SelectStmt: { targetList, op: 'SETOP_NONE', limitOption: 'LIMIT_OPTION_DEFAULT' },
  };
  return { text: statement.text, node: { tree, source: statement.node.source } };
}

function castTo(arg: Node, { schema, name }: SqlType): Node {
  const names = [schema, name].map((sval): Node => ({ String: { sval } }));
  return { TypeCast: { arg, typeName: { names, typemod: -1 } } };
}
