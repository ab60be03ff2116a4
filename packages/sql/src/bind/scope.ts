/**
 * What names may refer to. A query level has a scope: the items of its FROM, whose columns lie side by side in one row.
 * Levels hang together by frames: a name that is not found here is looked for in the level around, and what is found
 * there becomes an argument of the frame, computed outside and handed in.
 */
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { Oid } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { BindContext } from './context.ts';
import {
  type ArgumentExpression,
  type ColumnExpression,
  column,
  type Expression,
} from './expression.ts';
import { expressionKey } from './expression-key.ts';
import type { Cte } from './relation.ts';
import { recordOf, systemColumn } from './whole-row.ts';

/** A column of a query's result, or of a table. */
export interface QueryColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly modifier: number;
  readonly tableOid: Oid;
  readonly attributeNumber: number;
}

export interface ScopeColumn {
  readonly name: string;
  /** Over the row of all items; for a merged column of USING it may be more than a column. */
  readonly expression: Expression;
}

export interface ScopeItem {
  /** The name by which columns are qualified; undefined for a join without one. */
  readonly alias: string | undefined;
  /** The table's own name, where `alias` hides it. */
  readonly tableName: string | undefined;
  /** Of a table that goes by its own name: its columns may be qualified by both. */
  readonly tableSchema: string | undefined;
  readonly isTable: boolean;
  /** Its row is the value of its only column: a function that gives no records. */
  readonly scalar?: boolean;
  /** What the fields of its row as a value are called, where that is not what its columns are: `t AS a(x, y)`. */
  readonly rowNames?: readonly string[];
  /** It is a side of an outer join that may have no row. */
  readonly maybeMissing?: boolean;
  /** Of the rows of an INSERT: 0 of those that are new. */
  readonly xmax?: Expression;
  readonly columns: readonly ScopeColumn[];
  /** Whether bare names reach its columns, and `*` lists them. */
  readonly columnsVisible: boolean;
  /** Only LATERAL items reach it. */
  readonly lateralOnly: boolean;
  /** False: it is the outer side of a RIGHT or FULL join, which LATERAL must not refer to. */
  readonly lateralAllowed: boolean;
}

/** What stands before the last dot of `t.c`, `s.t.c`, `t.*`. */
export interface Qualifier {
  readonly schema?: string | undefined;
  readonly alias: string;
}

/** @param parts the names before `last`, at least one. Throws 0A000 for another database, 42601. */
export function qualifierOf(
  context: BindContext,
  parts: readonly string[],
  last: string,
  location: number | undefined,
): Qualifier {
  const [alias = '', schema, database, ...more] = [...parts].reverse();
  const all = [...parts, last].join('.');
  if (more.length > 0)
    throw context.error(
      '42601',
      `improper qualified name (too many dotted names): ${all}`,
      location,
    );
  if (database !== undefined && database !== context.evaluation.database)
    throw context.error('0A000', `cross-database references are not implemented: ${all}`, location);
  return { schema, alias };
}

/** PostgreSQL's columns that every table has. */
const systemColumns: ReadonlySet<string> = new Set([
  'tableoid',
  'xmin',
  'cmin',
  'xmax',
  'cmax',
  'ctid',
]);

export function tableColumns(table: TableDescriptor): QueryColumn[] {
  return table.columns.map(({ name, type, modifier, attributeNumber }) => ({
    name,
    type,
    modifier,
    attributeNumber,
    tableOid: table.id,
  }));
}

/** An item whose columns lie in the row from `offset` on. */
export function scopeItem(options: {
  readonly alias: string;
  readonly tableName?: string | undefined;
  readonly tableSchema?: string | undefined;
  readonly isTable?: boolean;
  readonly columns: readonly QueryColumn[];
  readonly offset: number;
}): ScopeItem {
  const { alias, columns, offset } = options;
  return {
    alias,
    tableName: options.tableName,
    tableSchema: options.tableSchema,
    isTable: options.isTable ?? false,
    columns: columns.map((one, i) => ({
      name: one.name,
      expression: column(one.type, offset + i, {
        name: one.name,
        modifier: one.modifier,
        tableOid: one.tableOid,
        attributeNumber: one.attributeNumber,
        relation: alias,
      }),
    })),
    columnsVisible: true,
    lateralOnly: false,
    lateralAllowed: true,
  };
}

export function tableItem(
  table: TableDescriptor,
  alias: string | undefined,
  offset = 0,
): ScopeItem {
  return scopeItem({
    alias: alias ?? table.name,
    tableName: table.name,
    tableSchema: alias === undefined ? table.schema : undefined,
    isTable: true,
    columns: tableColumns(table),
    offset,
  });
}

/** The named queries that a level sees, innermost first. */
export interface CteNames {
  readonly outer: CteNames | undefined;
  readonly named: Map<string, NamedQuery>;
}

export interface NamedQuery {
  readonly cte: Cte;
  readonly columns: readonly QueryColumn[];
  readonly frame: Frame;
  /** Inside its own recursive term. */
  working: WorkingReference | undefined;
  /** Set for a data-modifying query without RETURNING. */
  readonly returnsNothing: boolean;
}

/** Where a recursive term stands when it refers to itself; used to refuse what PostgreSQL refuses. */
export interface WorkingReference {
  count: number;
  readonly frame: Frame;
}

/** What queries that run together share: the values that the query around hands in for a run. */
export class Frame {
  readonly outer: Scope | undefined;
  readonly arguments: Expression[] = [];
  private readonly known = new Map<string, number>();

  constructor(outer: Scope | undefined) {
    this.outer = outer;
  }

  get size(): number {
    return this.arguments.length;
  }

  /** Drops what was captured after there were `size` arguments. */
  forget(size: number): void {
    for (const one of this.arguments.splice(size)) this.known.delete(expressionKey(one));
  }

  capture(expression: Expression, location: number | undefined): ArgumentExpression {
    const key = expressionKey(expression);
    let index = this.known.get(key);
    if (index === undefined) {
      index = this.arguments.push(expression) - 1;
      this.known.set(key, index);
    }
    const { type, modifier } = expression;
    return { kind: 'argument', type, modifier, location, index, outer: expression };
  }
}

/** An entry that the level has, whether or not names may reach it from where they stand: for hints. */
export interface RangeEntry {
  readonly alias: string;
  readonly tableName: string | undefined;
  readonly columns: readonly string[];
}

export class Scope {
  readonly items: readonly ScopeItem[];
  readonly frame: Frame;
  readonly ctes: CteNames | undefined;
  /** Everything in this level's FROM so far. */
  readonly entries: readonly RangeEntry[];
  /** A LATERAL item is being bound: items to the left are in reach. */
  readonly lateralActive: boolean;
  /** For a query in FROM: the level it stands in, whose other items it cannot see; for hints. */
  readonly hidden: Scope | undefined;

  constructor(
    items: readonly ScopeItem[],
    frame: Frame,
    options: {
      readonly ctes?: CteNames | undefined;
      readonly entries?: readonly RangeEntry[];
      readonly lateralActive?: boolean;
      readonly hidden?: Scope | undefined;
    } = {},
  ) {
    this.items = items;
    this.frame = frame;
    this.ctes = options.ctes;
    this.entries = options.entries ?? items.flatMap(entryOf);
    this.lateralActive = options.lateralActive ?? false;
    this.hidden = options.hidden;
  }

  /** All columns, as `*` lists them. */
  all(context: BindContext, location?: number): ScopeColumn[] {
    return this.items
      .filter((item) => item.columnsVisible && !item.lateralOnly)
      .flatMap((item) => itemColumns(context, item, location));
  }

  /** The columns of the item of this name, in this level or around it: `alias.*`. Throws 42P01. */
  columnsOf(context: BindContext, of: Qualifier, location: number | undefined): ScopeColumn[] {
    const item = this.itemHere(context, of, location);
    if (item !== undefined) return itemColumns(context, item, location);
    const { outer } = this.frame;
    if (outer?.findItem(context, of, location) === undefined)
      throw this.missingItem(context, of, location);
    return outer.columnsOf(context, of, location).map(({ name, expression }) => ({
      name,
      expression: this.frame.capture(expression, location),
    }));
  }

  /** The item of this name, as its own level sees it. */
  findItem(
    context: BindContext,
    named: Qualifier,
    location: number | undefined,
  ): ScopeItem | undefined {
    return (
      this.itemHere(context, named, location) ??
      this.frame.outer?.findItem(context, named, location)
    );
  }

  private itemHere(
    context: BindContext,
    { schema, alias }: Qualifier,
    location: number | undefined,
  ): ScopeItem | undefined {
    const [found, second] = this.items.filter(
      (item) =>
        item.alias === alias &&
        (schema === undefined || item.tableSchema === schema) &&
        this.reaches(item),
    );
    if (second !== undefined)
      throw context.error('42P09', `table reference "${alias}" is ambiguous`, location);
    if (found !== undefined) this.checkLateral(context, found, location);
    return found;
  }

  /** Throws 42703, 42702. */
  column(context: BindContext, name: string, location: number | undefined): Expression {
    const found = this.find(context, name, location);
    if (found !== undefined) return found;
    const row = this.findRow(context, { alias: name }, location);
    if (row !== undefined) return row;
    if (systemColumns.has(name) && this.items.some((item) => item.isTable)) {
      const tables = this.items.filter((item) => item.isTable);
      const [only] = tables;
      if (only !== undefined && tables.length === 1)
        return systemColumn(context, only, name, location);
      throw context.error('42702', `column reference "${name}" is ambiguous`, location);
    }
    throw this.missingColumn(context, name, location);
  }

  /** The column of this name, here or around. Throws 42702 where there are several. */
  find(context: BindContext, name: string, location: number | undefined): Expression | undefined {
    const here = this.findHere(context, name, location);
    if (here !== undefined) return here;
    const around = this.frame.outer?.find(context, name, location);
    return around === undefined ? undefined : this.frame.capture(around, location);
  }

  findHere(
    context: BindContext,
    name: string,
    location: number | undefined,
  ): Expression | undefined {
    let found: Expression | undefined;
    for (const item of this.items) {
      if (!item.columnsVisible || !this.reaches(item)) continue;
      for (const one of item.columns) {
        if (one.name !== name) continue;
        if (found !== undefined)
          throw context.error('42702', `column reference "${name}" is ambiguous`, location);
        this.checkLateral(context, item, location);
        noteColumn(context, one.expression);
        found = located(one.expression, location);
      }
    }
    return found;
  }

  /** @param otherwise what the name means of the row where it is no column. Throws 42P01, 42703, 42702. */
  qualified(
    context: BindContext,
    of: Qualifier,
    name: string,
    location: number | undefined,
    otherwise: (row: Expression) => Expression | undefined,
  ): Expression {
    const item = this.itemHere(context, of, location);
    if (item === undefined) {
      const { outer } = this.frame;
      if (outer?.findItem(context, of, location) === undefined)
        throw this.missingItem(context, of, location);
      const around = outer.qualified(context, of, name, location, otherwise);
      return this.frame.capture(around, location);
    }
    const matching = item.columns.filter((one) => one.name === name);
    const [only] = matching;
    if (matching.length > 1)
      throw context.error('42702', `column reference "${name}" is ambiguous`, location);
    if (only !== undefined) {
      noteColumn(context, only.expression);
      return located(only.expression, location);
    }
    if (systemColumns.has(name) && item.isTable) return systemColumn(context, item, name, location);
    const other = otherwise(rowOf(context, item, location));
    if (other !== undefined) return other;
    throw context.error('42703', `column ${of.alias}.${name} does not exist`, location);
  }

  /** `t.*` in place of a value: the row of an item. Throws 42P01. */
  wholeRow(context: BindContext, of: Qualifier, location: number | undefined): Expression {
    const row = this.findRow(context, of, location);
    if (row === undefined) throw this.missingItem(context, of, location);
    return row;
  }

  /** The row of an item as a value, here or around. */
  private findRow(
    context: BindContext,
    of: Qualifier,
    location: number | undefined,
  ): Expression | undefined {
    const item = this.itemHere(context, of, location);
    if (item !== undefined) return rowOf(context, item, location);
    const around = this.frame.outer?.findRow(context, of, location);
    return around === undefined ? undefined : this.frame.capture(around, location);
  }

  private reaches(item: ScopeItem): boolean {
    return !item.lateralOnly || this.lateralActive;
  }

  private checkLateral(context: BindContext, item: ScopeItem, location: number | undefined): void {
    if (!item.lateralOnly || item.lateralAllowed) return;
    throw context.error(
      '42P10',
      `invalid reference to FROM-clause entry for table "${item.alias ?? ''}"`,
      location,
      { detail: 'The combining JOIN type must be INNER or LEFT for a LATERAL reference.' },
    );
  }

  private get around(): Scope | undefined {
    return this.hidden ?? this.frame.outer;
  }

  private missingItem(context: BindContext, of: Qualifier, location: number | undefined) {
    const { alias } = of;
    for (let level: Scope | undefined = this; level !== undefined; level = level.around) {
      const entry = level.entries.find((one) => one.alias === alias);
      const other = entry ?? level.entries.find((one) => one.tableName === alias);
      if (other === undefined) continue;
      const message = `invalid reference to FROM-clause entry for table "${alias}"`;
      if (
        other.alias !== alias &&
        this.findItem(context, { alias: other.alias }, location) !== undefined
      )
        return context.error('42P01', message, location, {
          hint: `Perhaps you meant to reference the table alias "${other.alias}".`,
        });
      return context.error('42P01', message, location, {
        hint: `There is an entry for table "${other.alias}", but it cannot be referenced from this part of the query.`,
      });
    }
    return context.error('42P01', `missing FROM-clause entry for table "${alias}"`, location);
  }

  private missingColumn(context: BindContext, name: string, location: number | undefined) {
    for (let level: Scope | undefined = this; level !== undefined; level = level.around) {
      const entry = level.entries.find((one) => one.columns.includes(name));
      if (entry === undefined) continue;
      return context.error('42703', `column "${name}" does not exist`, location, {
        hint: `There is a column named "${name}" in table "${entry.alias}", but it cannot be referenced from this part of the query.`,
      });
    }
    return context.error('42703', `column "${name}" does not exist`, location);
  }
}

function rowOf(context: BindContext, item: ScopeItem, location: number | undefined): Expression {
  const columns = itemColumns(context, item, location);
  const [only] = columns;
  return item.scalar === true && only !== undefined
    ? only.expression
    : recordOf(context, columns, {
        ownNames: item.rowNames,
        maybeMissing: item.maybeMissing === true,
        location,
      });
}

export function entryOf(item: ScopeItem): RangeEntry[] {
  if (item.alias === undefined) return [];
  const { alias, tableName } = item;
  return [{ alias, tableName, columns: item.columns.map((one) => one.name) }];
}

function itemColumns(context: BindContext, item: ScopeItem, location?: number): ScopeColumn[] {
  return item.columns.map(({ name, expression }) => {
    noteColumn(context, expression);
    return { name, expression: located(expression, location) };
  });
}

/** The statement reads it. */
export function noteColumn(context: BindContext, expression: Expression): void {
  if (expression.kind === 'column')
    context.access.readsColumn(expression.tableOid, expression.attributeNumber);
}

function located(expression: Expression, location: number | undefined): Expression {
  return { ...expression, location };
}

/** The column itself, where a scope's column is nothing more. */
export function plainColumn(expression: Expression): ColumnExpression | undefined {
  return expression.kind === 'column' ? expression : undefined;
}

/** A level without FROM and without anything around it. */
export function emptyScope(): Scope {
  return new Scope([], new Frame(undefined));
}
