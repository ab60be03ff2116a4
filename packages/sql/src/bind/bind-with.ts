/** WITH: named queries, recursive ones, and statements that write. */
import type { CommonTableExpr, Node, RangeVar, SelectStmt, WithClause } from 'libpg-query';
import { nameParts } from './ast.ts';
import { bindWriteStatement } from './bind-dml.ts';
import { bindClosedQuery, bindOpenQuery, closeQuery, type OpenQuery } from './bind-query.ts';
import type { BoundWrite } from './bound.ts';
import { coerceToCommon, requireCommonType } from './coerce.ts';
import type { BindContext } from './context.ts';
import { column, type Expression } from './expression.ts';
import type { Level } from './level.ts';
import type { Cte, CteScan, Relation } from './relation.ts';
import type { CteNames, Frame, NamedQuery, QueryColumn } from './scope.ts';

export interface BoundWith {
  /** The level that sees the named queries. */
  readonly level: Level;
  readonly ctes: readonly Cte[];
}

export function withCtes({ ctes }: BoundWith, input: Relation): Relation {
  return { kind: 'with', ctes, input, types: input.types };
}

/** The innermost named query of that name. */
export function findCte(level: Level, variable: RangeVar): NamedQuery | undefined {
  const name = variable.relname ?? '';
  for (let names: CteNames | undefined = level.ctes; names !== undefined; names = names.outer) {
    const found = names.named.get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** A scan of a named query. Throws 0A000, 42P19 where a recursive reference must not stand. */
export function referToCte(
  context: BindContext,
  level: Level,
  named: NamedQuery,
  variable: RangeVar,
): CteScan {
  const { cte, working } = named;
  const name = variable.relname ?? '';
  if (named.returnsNothing)
    throw context.error(
      '0A000',
      `WITH query "${name}" does not have a RETURNING clause`,
      variable.location,
    );
  if (working === undefined) {
    cte.references++;
    if (level.frame !== named.frame) {
      cte.inline = false;
      captureArguments(level.frame, named.frame);
    }
  } else {
    if (level.frame !== working.frame)
      throw recursionError(context, name, 'appear within a subquery', variable.location);
    if (++working.count > 1)
      throw recursionError(context, name, 'appear more than once', variable.location);
  }
  const types = named.columns.map((one) => one.type);
  return { kind: 'cte', cte, working: working !== undefined, types };
}

/** What the named query sees as its arguments is what a query inside that reads it depends on, too. */
function captureArguments(from: Frame, to: Frame): void {
  const through = (frame: Frame, expression: Expression): Expression => {
    if (frame === to || frame.outer === undefined) return expression;
    return frame.capture(through(frame.outer.frame, expression), undefined);
  };
  to.arguments.forEach((outer, index) => {
    const { type, modifier, location } = outer;
    through(from, { kind: 'argument', type, modifier, location, index, outer });
  });
}

function recursionError(
  context: BindContext,
  name: string,
  what: string,
  location: number | undefined,
) {
  return context.error(
    '42P19',
    `recursive reference to query "${name}" must not ${what}`,
    location,
  );
}

/** Throws 42712 for a name that is given twice, and what binding the queries throws. */
export function bindWith(context: BindContext, clause: WithClause, outer: Level): BoundWith {
  const names: CteNames = { outer: outer.ctes, named: new Map() };
  const level: Level = { frame: outer.frame, ctes: names, hidden: outer.hidden };
  const seen = new Set<string>();
  let queries: CommonTableExpr[] = (clause.ctes ?? []).flatMap((node) =>
    'CommonTableExpr' in node ? [node.CommonTableExpr] : [],
  );
  for (const { ctename = '', location } of queries) {
    if (seen.has(ctename))
      throw context.error(
        '42712',
        `WITH query name "${ctename}" specified more than once`,
        location,
      );
    seen.add(ctename);
  }
  if (clause.recursive === true) queries = inOrderOfUse(context, queries);
  const ctes: Cte[] = [];
  for (const query of queries) {
    const named =
      clause.recursive === true && refersTo(query.ctequery, query.ctename ?? '')
        ? bindRecursive(context, query, level, names)
        : bindNamed(context, query, level);
    names.named.set(query.ctename ?? '', named);
    ctes.push(named.cte);
  }
  return { level, ctes };
}

/** Forward references are allowed in WITH RECURSIVE, cycles of several queries are not. */
function inOrderOfUse(context: BindContext, queries: CommonTableExpr[]): CommonTableExpr[] {
  const ordered: CommonTableExpr[] = [];
  const open = new Set<CommonTableExpr>();
  const visit = (query: CommonTableExpr): void => {
    if (ordered.includes(query)) return;
    if (open.has(query))
      throw context.error(
        '0A000',
        'mutual recursion between WITH items is not implemented',
        query.location,
      );
    open.add(query);
    for (const other of queries)
      if (other !== query && refersTo(query.ctequery, other.ctename ?? '')) visit(other);
    open.delete(query);
    ordered.push(query);
  };
  for (const query of queries) visit(query);
  return ordered;
}

/** Whether a table of this name is read anywhere inside. */
function refersTo(tree: unknown, name: string): boolean {
  if (Array.isArray(tree)) return tree.some((one) => refersTo(one, name));
  if (typeof tree !== 'object' || tree === null) return false;
  if ('RangeVar' in tree) {
    const variable = tree.RangeVar as RangeVar;
    return variable.relname === name && variable.schemaname === undefined;
  }
  if ('withClause' in tree && hides(tree.withClause, name)) return false;
  return Object.values(tree).some((one) => refersTo(one, name));
}

function hides(clause: unknown, name: string): boolean {
  const { ctes = [] } = clause as WithClause;
  return ctes.some((node) => 'CommonTableExpr' in node && node.CommonTableExpr.ctename === name);
}

function refuseCycleAndSearch(context: BindContext, query: CommonTableExpr): void {
  if (query.search_clause !== undefined)
    throw context.unsupported('SEARCH', query.search_clause.location);
  if (query.cycle_clause !== undefined)
    throw context.unsupported('CYCLE', query.cycle_clause.location);
}

function bindNamed(context: BindContext, query: CommonTableExpr, level: Level): NamedQuery {
  refuseCycleAndSearch(context, query);
  const { ctename = '', ctematerialized } = query;
  const node = query.ctequery;
  if (node !== undefined && 'SelectStmt' in node) {
    const bound = bindClosedQuery(context, node.SelectStmt, level);
    const cte: Cte = {
      name: ctename,
      types: bound.relation.types,
      body: { kind: 'query', relation: bound.relation },
      references: 0,
      inline: ctematerialized !== 'CTEMaterializeAlways',
    };
    if (ctematerialized === 'CTEMaterializeNever') cte.references = Number.NEGATIVE_INFINITY;
    const columns = named(context, query, bound.columns);
    return { cte, columns, frame: level.frame, working: undefined, returnsNothing: false };
  }
  if (level.ctes?.outer !== undefined || level.frame.outer !== undefined || level.hidden)
    throw context.error(
      '0A000',
      'WITH clause containing a data-modifying statement must be at the top level',
      query.location,
    );
  const write = bindWrite(context, node, level);
  const returned = write.returning?.columns ?? [];
  const cte: Cte = {
    name: ctename,
    types: returned.map((one) => one.type),
    body: { kind: 'write', write },
    references: 0,
    inline: false,
  };
  return {
    cte,
    columns: named(context, query, returned),
    frame: level.frame,
    working: undefined,
    returnsNothing: write.returning === undefined,
  };
}

function bindWrite(context: BindContext, node: Node | undefined, level: Level): BoundWrite {
  const write = node === undefined ? undefined : bindWriteStatement(context, node, level);
  if (write === undefined) throw context.unsupported('statement in WITH');
  return write;
}

/** Column names of `WITH q (a, b)`. Throws 42P10. */
function named(
  context: BindContext,
  query: CommonTableExpr,
  columns: readonly QueryColumn[],
): readonly QueryColumn[] {
  const names = nameParts(query.aliascolnames);
  if (names.length > columns.length)
    throw context.error(
      '42P10',
      `WITH query "${query.ctename}" has ${columns.length} columns available but ${names.length} columns specified`,
      query.location,
    );
  return columns.map((one, i) => ({ ...one, name: names[i] ?? one.name }));
}

/** Throws 42P19 for a form that is not `initial UNION [ALL] step`, 42804 for types that change. */
function bindRecursive(
  context: BindContext,
  query: CommonTableExpr,
  level: Level,
  names: CteNames,
): NamedQuery {
  refuseCycleAndSearch(context, query);
  const { ctename = '', location } = query;
  const select =
    query.ctequery !== undefined && 'SelectStmt' in query.ctequery
      ? query.ctequery.SelectStmt
      : undefined;
  const { larg, rarg } = select ?? {};
  if (select?.op !== 'SETOP_UNION' || larg === undefined || rarg === undefined)
    throw context.error(
      '42P19',
      `recursive query "${ctename}" does not have the form non-recursive-term UNION [ALL] recursive-term`,
      location,
    );
  refuseRecursiveClauses(context, select);
  if (refersTo(larg, ctename))
    throw recursionError(
      context,
      ctename,
      'appear within its non-recursive term',
      referenceLocation(larg, ctename),
    );
  let inner: Level = level;
  const around =
    select.withClause === undefined ? undefined : bindWith(context, select.withClause, level);
  if (around !== undefined) inner = around.level;
  const open = bindOpenQuery(context, larg, inner);
  const initial = closeQuery(context, open);
  const columns = named(context, query, initial.columns).map((one) => ({
    ...one,
    tableOid: 0,
    attributeNumber: 0,
  }));
  const cte: Cte = {
    name: ctename,
    types: columns.map((one) => one.type),
    body: undefined,
    references: 0,
    inline: false,
  };
  const entry: NamedQuery = {
    cte,
    columns,
    frame: level.frame,
    working: { count: 0, frame: level.frame },
    returnsNothing: false,
  };
  names.named.set(ctename, entry);
  const step = bindOpenQuery(context, rarg, inner);
  entry.working = undefined;
  const relation = finishStep(context, ctename, columns, step, open);
  cte.body = {
    kind: 'recursive',
    initial: around === undefined ? initial.relation : withCtes(around, initial.relation),
    step: around === undefined ? relation : withCtes(around, relation),
    all: select.all === true,
  };
  return entry;
}

function refuseRecursiveClauses(context: BindContext, select: SelectStmt): void {
  const refuse = (what: string, node: Node | undefined) => {
    if (node !== undefined)
      throw context.error('0A000', `${what} in a recursive query is not implemented`, place(node));
  };
  refuse('ORDER BY', select.sortClause?.[0]);
  refuse('OFFSET', select.limitOffset);
  refuse('LIMIT', select.limitCount);
}

function place(node: Node): number | undefined {
  const inner = 'SortBy' in node ? node.SortBy.node : node;
  const [only] = inner === undefined ? [] : Object.values(inner);
  const { location } = (only ?? {}) as { location?: number };
  return location;
}

function referenceLocation(tree: unknown, name: string): number | undefined {
  if (typeof tree !== 'object' || tree === null) return undefined;
  if ('RangeVar' in tree) {
    const { relname, location } = tree.RangeVar as RangeVar;
    return relname === name ? location : undefined;
  }
  for (const one of Object.values(tree)) {
    const found = referenceLocation(one, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function finishStep(
  context: BindContext,
  name: string,
  columns: readonly QueryColumn[],
  step: OpenQuery,
  initial: OpenQuery,
): Relation {
  if (step.columns.length !== columns.length)
    throw context.error(
      '42601',
      'each UNION query must have the same number of columns',
      step.outputs[0]?.location,
    );
  columns.forEach((one, i) => {
    const output = step.outputs[i];
    const first = column(one.type, i, { modifier: one.modifier });
    if (output === undefined) return;
    const overall = requireCommonType(context, [first, output], 'UNION');
    if (overall !== one.type)
      throw context.error(
        '42804',
        `recursive query "${name}" column ${i + 1} has type ${one.type.display} in non-recursive term but type ${overall.display} overall`,
        initial.outputs[i]?.location,
        { hint: 'Cast the output of the non-recursive term to the correct type.' },
      );
  });
  return step.finish((output, i) => {
    const type = columns[i]?.type;
    return type === undefined ? output : coerceToCommon(context, output, type, 'UNION');
  });
}
