/** CREATE [OR REPLACE] VIEW. The query is kept as it was written, with the search_path that it was written under. */
import type { RangeVar, ViewStmt } from 'libpg-query';
import { nameParts } from '../bind/ast.ts';
import { bindClosedQuery } from '../bind/bind-query.ts';
import type { BindContext } from '../bind/context.ts';
import { topLevel } from '../bind/level.ts';
import type { RelationDescriptor, ViewColumn, ViewDescriptor } from '../catalog/descriptor.ts';
import { isTemporarySchema } from '../catalog/temporary-schema.ts';
import { scanTokens } from '../parse/grammar.ts';
import { SqlError } from '../sql-error.ts';
import { quoteIdentifier } from '../types/identifier.ts';
import { displayType, recordType, textType, unknownType } from '../types/type.ts';
import { refuseTaken } from './creation.ts';
import type { DdlContext } from './ddl-context.ts';

export async function createView(ddl: DdlContext, statement: ViewStmt): Promise<string> {
  const context = ddl.binder();
  const { view, query, aliases, replace, withCheckOption, options = [] } = statement;
  if (view === undefined || query === undefined || !('SelectStmt' in query))
    throw context.unsupported('CREATE VIEW without a query');
  if (withCheckOption !== undefined && withCheckOption !== 'NO_CHECK_OPTION')
    throw context.unsupported('WITH CHECK OPTION');
  if (options.length > 0) throw context.unsupported('view option');
  const name = view.relname ?? '';
  const bound = bindClosedQuery(context, query.SelectStmt, topLevel());
  context.finalParameterTypes();
  const schema = await viewSchema(ddl, view, context);
  const given = nameParts(aliases);
  if (given.length > bound.columns.length)
    throw new SqlError('42601', 'CREATE VIEW specifies more column names than columns');
  const columns = bound.columns.map(
    (column, i): ViewColumn => ({
      name: given[i] ?? column.name,
      output: column.name,
      type: column.type === unknownType ? textType : column.type,
      modifier: column.modifier,
    }),
  );
  const record = columns.find(({ type }) => type === recordType);
  if (record !== undefined)
    throw new SqlError('42P16', `column "${record.name}" has pseudo-type record`);
  const twin = columns.find((one, i) => columns.findIndex((other) => other.name === one.name) < i);
  if (twin !== undefined)
    throw new SqlError('42701', `column "${twin.name}" specified more than once`);
  const existing = ddl.snapshot.find(schema, name);
  if (existing !== undefined && replace === true) {
    if (existing.kind !== 'view') throw new SqlError('42809', `"${name}" is not a view`);
    ddl.requireOwner(existing);
    checkReplacement(existing, columns);
  } else refuseTaken(ddl, schema, name, false);
  const descriptor: ViewDescriptor = {
    kind: 'view',
    id: existing?.id ?? (await ddl.takeId()),
    schema,
    name,
    owner: existing?.owner ?? ddl.user,
    ...(existing === undefined ? ddl.initialAcl('table', schema) : grantsOf(existing)),
    version: 0,
    comments: existing?.comments ?? {},
    query: queryText(ddl, nameParts(aliases), view),
    searchPath: ddl.options.searchPath,
    columns,
    uses: [
      ...new Set([
        ...context.names.dependencies.map(({ relation }) => relation.id),
        ...columns.flatMap(({ type }) => ddl.snapshot.descriptorOf(type)?.id ?? []),
      ]),
    ],
  };
  ddl.editor.put(descriptor);
  return 'CREATE VIEW';
}

/** A view over what is temporary is temporary itself. */
async function viewSchema(
  ddl: DdlContext,
  view: RangeVar,
  { names }: BindContext,
): Promise<string> {
  const { relname = '', relpersistence } = view;
  const temporary = names.dependencies.some(({ relation }) => isTemporarySchema(relation.schema));
  if (!temporary || relpersistence === 't') return ddl.targetSchema(view, relname);
  const schema = await ddl.targetSchema({ ...view, relpersistence: 't' }, relname);
  ddl.notice('00000', `view "${relname}" will be a temporary view`);
  return schema;
}

function grantsOf({ acl, columnAcls }: RelationDescriptor): Partial<ViewDescriptor> {
  return {
    ...(acl === undefined ? {} : { acl }),
    ...(columnAcls === undefined ? {} : { columnAcls }),
  };
}

/** Throws 42P16. */
function checkReplacement(existing: ViewDescriptor, columns: readonly ViewColumn[]): void {
  if (columns.length < existing.columns.length)
    throw new SqlError('42P16', 'cannot drop columns from view');
  existing.columns.forEach((before, i) => {
    const after = columns[i];
    if (after === undefined) return;
    if (after.name !== before.name)
      throw new SqlError(
        '42P16',
        `cannot change name of view column "${before.name}" to "${after.name}"`,
        { hint: 'Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead.' },
      );
    if (after.type !== before.type || after.modifier !== before.modifier)
      throw new SqlError(
        '42P16',
        `cannot change data type of view column "${before.name}" from ${displayType(before.type, before.modifier)} to ${displayType(after.type, after.modifier)}`,
      );
  });
}

/** The query with its own name in it: CREATE RECURSIVE VIEW says only what that means. */
function queryText(ddl: DdlContext, columns: readonly string[], view: RangeVar): string {
  const own = textBehindAs(ddl.options.text);
  if (!/^\s*create\s+(or\s+replace\s+)?(temp(orary)?\s+)?recursive\b/i.test(ddl.options.text))
    return own;
  const name = quoteIdentifier(view.relname ?? '');
  const list = columns.map(quoteIdentifier).join(', ');
  return `WITH RECURSIVE ${name}(${list}) AS (${own}) SELECT ${list} FROM ${name}`;
}

/** What stands behind the AS of a statement. */
export function textBehindAs(text: string): string {
  let depth = 0;
  for (const token of scanTokens(text)) {
    if (token.text === '(') depth++;
    else if (token.text === ')') depth--;
    else if (depth === 0 && token.text.toLowerCase() === 'as')
      return Buffer.from(text, 'utf8')
        .subarray(token.end)
        .toString('utf8')
        .trim()
        .replace(/;$/, '');
  }
  throw new RangeError('the statement has an AS');
}
