/** COPY … FROM STDIN and COPY … TO STDOUT as the queries and inserts that they come down to. */
import type { CopyStmt, Node, RangeVar } from 'libpg-query';
import type { NameResolver } from '../catalog/name-resolver.ts';
import { storedQueryOf, wordOf } from '../catalog/relation-word.ts';
import type { Statement } from '../parse/parser.ts';
import type { ColumnDescription, Oid, PreparedStatement } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { type CopyOptions, readCopyOptions } from './copy-options.ts';

/** What `prepare` hands out for COPY. */
export class CopyCommand implements PreparedStatement {
  readonly parameterTypes: readonly Oid[] = [];
  readonly columns = undefined;
  readonly endsFailure = false;
  readonly readOnly: boolean;
  readonly copiesIn: boolean;
  readonly statement: CopyStmt;
  readonly options: CopyOptions;
  /** The query whose rows leave; of COPY FROM: one that has the columns that come. */
  readonly query: PreparedStatement;

  constructor(statement: CopyStmt, options: CopyOptions, query: PreparedStatement) {
    this.statement = statement;
    this.options = options;
    this.query = query;
    this.copiesIn = statement.is_from === true;
    this.readOnly = !this.copiesIn && query.readOnly;
  }

  get fields(): readonly ColumnDescription[] {
    return this.query.columns ?? [];
  }
}

export function copyOf({ node: { tree } }: Statement): CopyStmt | undefined {
  return 'CopyStmt' in tree ? tree.CopyStmt : undefined;
}

/** Throws 0A000, 42601, 22023. */
export function checkCopy(statement: CopyStmt): CopyOptions {
  const { filename, is_program, whereClause } = statement;
  if (is_program === true || filename !== undefined)
    throw new SqlError('0A000', 'COPY to or from a file or program is not supported yet', {
      hint: "psql's \\copy command reads and writes files of the client.",
    });
  if (whereClause !== undefined) throw new SqlError('0A000', 'COPY … WHERE is not supported yet');
  return readCopyOptions(statement);
}

/** The query for COPY's columns, in their order. Generated columns are copied only if a query names them. */
export function copyQuery(statement: CopyStmt, names: NameResolver): Node {
  const { query, relation, attlist = [] } = statement;
  if (query !== undefined) return query;
  const found = names.find(relation?.schemaname, relation?.relname ?? '');
  if (found !== undefined && found.kind !== 'virtual' && storedQueryOf(found) !== undefined) {
    const shown = `${wordOf(found)} "${found.name}"`;
    if (statement.is_from === true) throw new SqlError('42809', `cannot copy to ${shown}`);
    const hint = 'Try the COPY (SELECT ...) TO variant.';
    throw new SqlError('42809', `cannot copy from ${shown}`, { hint });
  }
  let columns = attlist.map((node) => ('String' in node ? (node.String.sval ?? '') : ''));
  if (columns.length === 0 && found?.kind === 'table')
    columns = found.columns.flatMap((column) =>
      column.generated === undefined ? [column.name] : [],
    );
  for (const [index, name] of columns.entries()) {
    if (columns.indexOf(name) !== index)
      throw new SqlError('42701', `column "${name}" specified more than once`);
    if (found?.kind !== 'table') continue;
    const column = found.columns.find((one) => one.name === name);
    if (column === undefined)
      throw new SqlError('42703', `column "${name}" of relation "${found.name}" does not exist`);
    if (column.generated !== undefined)
      throw new SqlError('42P10', `column "${name}" is a generated column`, {
        detail: 'Generated columns cannot be used in COPY.',
      });
  }
  const star: Node = { ColumnRef: { fields: [{ A_Star: {} }] } };
  const values: Node[] =
    columns.length === 0 && found?.kind !== 'table'
      ? [star] // the query finds out what the name is, and says so
      : columns.map((sval): Node => ({ ColumnRef: { fields: [{ String: { sval } }] } }));
  const only: RangeVar = { ...relation, inh: true };
  return {
    SelectStmt: {
      targetList: values.map((val): Node => ({ ResTarget: { val } })),
      fromClause: [{ RangeVar: only }],
      op: 'SETOP_NONE',
      limitOption: 'LIMIT_OPTION_DEFAULT',
    },
  };
}

/** INSERT of so many rows, each value a parameter. */
export function copyInsert(statement: CopyStmt, names: readonly string[], rows: number): Node {
  let parameter = 0;
  const row = (): Node => ({
    List: { items: names.map((): Node => ({ ParamRef: { number: ++parameter } })) },
  });
  return {
    InsertStmt: {
      ...(statement.relation === undefined ? {} : { relation: statement.relation }),
      cols: names.map((name): Node => ({ ResTarget: { name } })),
      selectStmt: {
        SelectStmt: {
          valuesLists: Array.from({ length: rows }, row),
          op: 'SETOP_NONE',
          limitOption: 'LIMIT_OPTION_DEFAULT',
        },
      },
      override: 'OVERRIDING_SYSTEM_VALUE',
    },
  };
}
