/** FROM: tables, queries, functions and joins become one tree and the scope of the query that reads them. */
import type { Alias, JoinExpr, Node, RangeFunction, RangeSubselect, RangeVar } from 'libpg-query';
import type { SequenceDescriptor, TableDescriptor, ViewDescriptor } from '../catalog/descriptor.ts';
import type { Named } from '../catalog/name-resolver.ts';
import { int8Type, type SqlType } from '../types/type.ts';
import { describeKind, kindOf, nameParts, refuseOthers } from './ast.ts';
import { ExpressionBinder } from './bind-expression.ts';
import { bindClosedQuery } from './bind-query.ts';
import { bindTableFunction } from './bind-table-function.ts';
import { bindViewQuery } from './bind-view.ts';
import { findCte, referToCte } from './bind-with.ts';
import { conjunction } from './conjuncts.ts';
import type { BindContext } from './context.ts';
import { bindUsing, naturalColumns, type UsingClause } from './join-using.ts';
import type { Level } from './level.ts';
import { isRecordFunction } from './record-function.ts';
import type { FromTree, JoinType, Source } from './relation.ts';
import {
  entryOf,
  Frame,
  type QueryColumn,
  type RangeEntry,
  Scope,
  type ScopeColumn,
  type ScopeItem,
  scopeItem,
  tableColumns,
} from './scope.ts';

export interface BoundFrom {
  readonly tree: FromTree | undefined;
  readonly scope: Scope;
  /** Of the row of all items. */
  readonly types: readonly SqlType[];
}

/** A part of FROM. */
export interface FromPart {
  readonly tree: FromTree;
  /** What names may refer to in it. */
  readonly items: readonly ScopeItem[];
  /** Its columns as a join around it sees them. */
  readonly columns: readonly ScopeColumn[];
}

/** @param options.rowIds tables without a primary key carry their hidden row ids. Throws 42P01, 42712, 42702, 3F000, 0A000. */
export function bindFrom(
  context: BindContext,
  level: Level,
  nodes: readonly Node[],
  options: { readonly rowIds?: boolean } = {},
): BoundFrom {
  const binder = new FromBinder(context, level);
  binder.rowIds = options.rowIds ?? false;
  return binder.bind(nodes);
}

/** @param target an item that is there before FROM: the table of UPDATE or DELETE */
export function bindFromBeside(
  context: BindContext,
  level: Level,
  nodes: readonly Node[],
  target: { readonly part: FromPart; readonly types: readonly SqlType[] },
): BoundFrom {
  return new FromBinder(context, level, target.types).bind(nodes, target.part);
}

/** An outer join may put NULLs in the place of its rows. */
function maybeMissing(item: ScopeItem): ScopeItem {
  return { ...item, maybeMissing: true };
}

const joinTypes: Readonly<Record<string, JoinType>> = {
  JOIN_INNER: 'inner',
  JOIN_LEFT: 'left',
  JOIN_RIGHT: 'right',
  JOIN_FULL: 'full',
};

class FromBinder {
  rowIds = false;
  private readonly context: BindContext;
  private readonly level: Level;
  private readonly types: SqlType[] = [];
  private readonly entries: RangeEntry[] = [];

  constructor(context: BindContext, level: Level, types: readonly SqlType[] = []) {
    this.context = context;
    this.level = level;
    this.types.push(...types);
  }

  bind(nodes: readonly Node[], first?: FromPart): BoundFrom {
    let tree = first?.tree;
    let items: readonly ScopeItem[] = first?.items ?? [];
    this.entries.push(...items.flatMap(entryOf));
    for (const node of nodes) {
      const part = this.bindPart(node, asLateral(items));
      this.refuseTwins(items, part.items);
      items = [...items, ...part.items];
      tree =
        tree === undefined
          ? part.tree
          : { kind: 'join', type: 'inner', left: tree, right: part.tree, condition: undefined };
    }
    return { tree, scope: this.scope(items), types: this.types };
  }

  private scope(items: readonly ScopeItem[], lateralActive = false): Scope {
    const { frame, ctes, hidden } = this.level;
    return new Scope(items, frame, { ctes, hidden, entries: this.entries, lateralActive });
  }

  /** @param left what LATERAL may refer to */
  private bindPart(node: Node, left: readonly ScopeItem[]): FromPart {
    if ('RangeVar' in node) return this.bindTable(node.RangeVar);
    if ('RangeSubselect' in node) return this.bindSubselect(node.RangeSubselect, left);
    if ('RangeFunction' in node) return this.bindFunction(node.RangeFunction, left);
    if ('JoinExpr' in node) return this.context.nested(() => this.bindJoin(node.JoinExpr, left));
    throw this.context.unsupported(describeKind(kindOf(node)));
  }

  private bindTable(variable: RangeVar): FromPart {
    const { alias } = variable;
    const named = variable.schemaname === undefined ? findCte(this.level, variable) : undefined;
    if (named !== undefined) {
      const source = referToCte(this.context, this.level, named, variable);
      return this.item(source, named.columns, { name: variable.relname ?? '', alias });
    }
    const table = findRelation(this.context, variable);
    if (table.kind === 'virtual') this.context.access.readsSystemTable(table.name);
    else this.context.access.reads(table.id);
    if (table.kind === 'view') return this.bindView(table, alias);
    if (table.kind === 'table' && table.materialized?.populated === false)
      this.context.access.readsUnpopulated(table.name);
    if (table.kind === 'virtual') {
      const types = table.columns.map((column) => column.type);
      const columns = table.columns.map(
        (column, i): QueryColumn => ({
          ...plain(column.type),
          modifier: column.modifier,
          name: column.name,
          tableOid: table.oid,
          attributeNumber: i + 1,
        }),
      );
      const source: Source = { kind: 'virtual', table, types };
      return this.item(source, columns, { name: table.name, alias, schema: table.schema });
    }
    const withRowId = this.rowIds && table.primaryKey === undefined;
    const types = table.columns.map((column) => column.type);
    if (withRowId) types.push(int8Type);
    const source: Source = { kind: 'table', table, withRowId, types };
    return this.item(source, tableColumns(table), {
      name: table.name,
      alias,
      schema: table.schema,
    });
  }

  /** A view is its query, seen under the view's names. */
  private bindView(view: ViewDescriptor, alias: Alias | undefined): FromPart {
    const { context } = this;
    const query = context.nested(() => bindViewQuery(context, view));
    const columns = view.columns.map(
      (column, i): QueryColumn => ({
        ...plain(column.type),
        modifier: column.modifier,
        name: column.name,
        tableOid: view.id,
        attributeNumber: i + 1,
      }),
    );
    return this.item(query, columns, { name: view.name, alias, schema: view.schema });
  }

  private bindSubselect(range: RangeSubselect, left: readonly ScopeItem[]): FromPart {
    const { subquery, alias, lateral } = range;
    if (subquery === undefined || !('SelectStmt' in subquery))
      throw this.context.unsupported('subquery in FROM');
    const around = this.scope(left, lateral === true);
    const frame = lateral === true ? new Frame(around) : this.level.frame;
    const query = bindClosedQuery(this.context, subquery.SelectStmt, {
      frame,
      ctes: this.level.ctes,
      hidden: lateral === true ? undefined : around,
    });
    return this.item(query.relation, query.columns, {
      name: undefined,
      alias,
      frame: lateral === true ? frame : undefined,
    });
  }

  private bindFunction(range: RangeFunction, left: readonly ScopeItem[]): FromPart {
    refuseOthers(
      this.context,
      range,
      ['functions', 'alias', 'lateral', 'ordinality', 'is_rowsfrom', 'coldeflist'],
      {},
    );
    const frame = new Frame(this.scope(left, true));
    const scope = new Scope([], frame, { ctes: this.level.ctes });
    const bound = bindTableFunction(this.context, scope, range);
    const { alias } = range;
    const shown = alias?.aliasname ?? bound.name;
    const columns: QueryColumn[] = bound.columns.map((column) => ({
      ...plain(column.type),
      name: column.name ?? shown,
    }));
    if (range.ordinality === true) columns.push({ ...plain(int8Type), name: 'ordinality' });
    const scalar = columns.length === 1 && !isRecordFunction(bound.name);
    return this.item(bound.source, columns, { name: bound.name, alias, frame, scalar });
  }

  private item(
    source: Source,
    columns: readonly QueryColumn[],
    options: {
      readonly name: string | undefined;
      readonly alias: Alias | undefined;
      /** Of a table, a view or a system table. */
      readonly schema?: string;
      readonly frame?: Frame | undefined;
      readonly scalar?: boolean;
    },
  ): FromPart {
    const { name, alias, schema, frame, scalar } = options;
    const shown = alias?.aliasname ?? name ?? '';
    const offset = this.types.length;
    this.types.push(...source.types);
    const item = scopeItem({
      alias: shown,
      tableName: name,
      tableSchema: alias === undefined ? schema : undefined,
      isTable: schema !== undefined,
      columns: renamed(this.context, columns, alias, `table "${shown}"`),
      offset,
    });
    const visible: ScopeItem = {
      ...item,
      ...(shown === '' ? { alias: undefined } : {}),
      ...(scalar === true ? { scalar } : {}),
      ...(schema !== undefined && alias?.colnames !== undefined
        ? { rowNames: columns.map((column) => column.name) }
        : {}),
    };
    this.entries.push(...entryOf(visible));
    const tree: FromTree = {
      kind: 'item',
      source,
      offset,
      alias: shown,
      arguments: frame?.arguments ?? [],
    };
    return { tree, items: [visible], columns: item.columns };
  }

  private bindJoin(join: JoinExpr, outside: readonly ScopeItem[]): FromPart {
    const { context } = this;
    const type = joinTypes[join.jointype ?? 'JOIN_INNER'];
    if (type === undefined || join.larg === undefined || join.rarg === undefined)
      throw context.unsupported(describeKind(join.jointype ?? ''));
    const left = this.bindPart(join.larg, outside);
    const allowed = type === 'inner' || type === 'left';
    const leftItems = asLateral(left.items).map((item) => ({ ...item, lateralAllowed: allowed }));
    const right = this.bindPart(join.rarg, [...outside, ...leftItems]);
    this.refuseTwins(left.items, right.items);
    const using: UsingClause | undefined =
      join.isNatural === true
        ? naturalColumns(left, right)
        : join.usingClause === undefined
          ? undefined
          : { names: nameParts(join.usingClause), natural: false };
    const merged =
      using === undefined ? undefined : bindUsing(context, { type, left, right }, using);
    const items = [...left.items, ...right.items];
    let condition = merged === undefined ? undefined : conjunction(merged.conditions);
    if (join.quals !== undefined)
      condition = new ExpressionBinder(context, this.scope(items), 'JOIN').bindBoolean(
        join.quals,
        'JOIN/ON',
      );
    const tree: FromTree = { kind: 'join', type, left: left.tree, right: right.tree, condition };
    const columns = merged?.columns ?? [...left.columns, ...right.columns];
    const joined = [
      ...(type === 'right' || type === 'full' ? left.items.map(maybeMissing) : left.items),
      ...(type === 'left' || type === 'full' ? right.items.map(maybeMissing) : right.items),
    ];
    return this.joinItem(join, { tree, items: joined, columns }, merged?.merged ?? []);
  }

  /** A join with a name hides its items; one that merges columns shows those in their place. */
  private joinItem(join: JoinExpr, part: FromPart, merged: readonly ScopeColumn[]): FromPart {
    const { alias, join_using_alias: usingAlias } = join;
    const base = {
      tableName: undefined,
      tableSchema: undefined,
      isTable: false,
      lateralOnly: false,
      lateralAllowed: true,
    };
    if (alias !== undefined) {
      const names = nameParts(alias.colnames);
      const shown = alias.aliasname ?? '';
      checkAliases(this.context, part.columns.length, names.length, `join expression "${shown}"`);
      const columns = part.columns.map((one, i) => renamedColumn(one, names[i], shown));
      const item: ScopeItem = { ...base, alias: shown, columns, columnsVisible: true };
      this.entries.push(...entryOf(item));
      return { tree: part.tree, items: [item], columns };
    }
    if (merged.length === 0 && usingAlias === undefined) return part;
    const hidden = part.items.map((item) => ({ ...item, columnsVisible: false }));
    const all: ScopeItem = {
      ...base,
      alias: undefined,
      columns: part.columns,
      columnsVisible: true,
    };
    const items: ScopeItem[] = [...hidden, all];
    if (usingAlias !== undefined) {
      const named: ScopeItem = {
        ...base,
        alias: usingAlias.aliasname ?? '',
        columns: merged,
        columnsVisible: false,
      };
      this.refuseTwins(items, [named]);
      items.push(named);
    }
    return { tree: part.tree, items, columns: part.columns };
  }

  /** Tables of two schemas may have one name: then that alone is ambiguous. Throws 42712. */
  private refuseTwins(items: readonly ScopeItem[], others: readonly ScopeItem[]): void {
    const distinct = (a: ScopeItem, b: ScopeItem) =>
      a.tableSchema !== undefined && b.tableSchema !== undefined && a.tableSchema !== b.tableSchema;
    for (const other of others) {
      const { alias } = other;
      if (alias === undefined) continue;
      if (items.some((item) => item.alias === alias && !distinct(item, other)))
        throw this.context.error(
          '42712',
          `table name "${alias}" specified more than once`,
          undefined,
        );
    }
  }
}

function plain(type: SqlType): Omit<QueryColumn, 'name'> {
  return { type, modifier: -1, tableOid: 0, attributeNumber: 0 };
}

function asLateral(items: readonly ScopeItem[]): ScopeItem[] {
  return items.map((item) => ({ ...item, lateralOnly: true }));
}

function renamedColumn(column: ScopeColumn, name: string | undefined, relation: string) {
  const { expression } = column;
  const shown = name ?? column.name;
  return {
    name: shown,
    expression:
      expression.kind === 'column' ? { ...expression, name: shown, relation } : expression,
  };
}

/** Column aliases: `t AS a(x, y)`. */
function renamed(
  context: BindContext,
  columns: readonly QueryColumn[],
  alias: Alias | undefined,
  what: string,
): readonly QueryColumn[] {
  const names = nameParts(alias?.colnames);
  checkAliases(context, columns.length, names.length, what);
  if (names.length === 0) return columns;
  return columns.map((column, i) => ({ ...column, name: names[i] ?? column.name }));
}

function checkAliases(context: BindContext, columns: number, names: number, what: string): void {
  if (names > columns)
    throw context.error(
      '42P10',
      `${what} has ${columns} columns available but ${names} columns specified`,
      undefined,
    );
}

/** Schema-qualified names as the user wrote them, for messages. */
export function shownName(variable: RangeVar): string {
  return variable.schemaname === undefined
    ? (variable.relname ?? '')
    : `${variable.schemaname}.${variable.relname ?? ''}`;
}

/** What a name in FROM leads to. Throws 42P01, 0A000. */
export function findRelation(
  context: BindContext,
  variable: RangeVar,
  located = true,
): Exclude<Named, SequenceDescriptor> {
  const { catalogname, schemaname, relname = '', location } = variable;
  if (catalogname !== undefined && catalogname !== context.evaluation.database)
    throw context.error(
      '0A000',
      `cross-database references are not implemented: "${catalogname}.${shownName(variable)}"`,
      location,
    );
  const found = context.names.find(schemaname, relname);
  if (found === undefined)
    throw context.error(
      '42P01',
      `relation "${shownName(variable)}" does not exist`,
      located ? location : undefined,
    );
  if (schemaname !== undefined)
    context.access.looksInto(schemaname, context.source.position(location));
  if (found.kind === 'sequence') throw context.unsupported('SELECT from a sequence', location);
  return found;
}

/** The table of a statement that writes. @param located whether the error points at the name. Throws 42P01, 42809. */
export function findTable(
  context: BindContext,
  variable: RangeVar,
  located = true,
): TableDescriptor {
  const found = findRelation(context, variable, located);
  if (found.kind === 'table') return found;
  const { relname = '' } = variable;
  if (found.kind === 'virtual')
    throw context.error('42501', `permission denied for table ${relname}`, undefined);
  throw context.unsupported(`writing to view "${relname}"`, variable.location);
}
