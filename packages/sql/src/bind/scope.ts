/** The columns that names may refer to: those of the relations in FROM, side by side in one row. */
import type { TableDescriptor } from '../catalog/descriptor.ts';
import type { Oid } from '../session-api.ts';
import type { SqlType } from '../types/type.ts';
import type { BindContext } from './context.ts';
import type { ColumnExpression } from './expression.ts';

export interface ScopeColumn {
  readonly name: string;
  readonly type: SqlType;
  readonly modifier: number;
  readonly tableOid: Oid;
  readonly attributeNumber: number;
}

export interface Relation {
  /** The name by which columns are qualified. */
  readonly alias: string;
  /** The table's own name, where `alias` hides it. */
  readonly tableName: string | undefined;
  readonly columns: readonly ScopeColumn[];
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

export function tableRelation(table: TableDescriptor, alias: string | undefined): Relation {
  return {
    alias: alias ?? table.name,
    tableName: table.name,
    columns: table.columns.map((column) => ({
      name: column.name,
      type: column.type,
      modifier: column.modifier,
      tableOid: table.id,
      attributeNumber: column.attributeNumber,
    })),
  };
}

export class Scope {
  readonly relations: readonly Relation[];

  constructor(relations: readonly Relation[]) {
    this.relations = relations;
  }

  /** All columns, as `*` lists them. */
  all(location?: number): ColumnExpression[] {
    return this.relations.flatMap((relation) => this.columnsOf(relation, location));
  }

  columnsOf(relation: Relation, location?: number): ColumnExpression[] {
    return relation.columns.map((_column, i) => this.reference(relation, i, location));
  }

  /** `alias.*` and qualified names. Throws 42P01. */
  relation(context: BindContext, alias: string, location: number | undefined): Relation {
    const found = this.relations.find((relation) => relation.alias === alias);
    if (found !== undefined) return found;
    const hidden = this.relations.find((relation) => relation.tableName === alias);
    if (hidden !== undefined)
      throw context.error(
        '42P01',
        `invalid reference to FROM-clause entry for table "${alias}"`,
        location,
        { hint: `Perhaps you meant to reference the table alias "${hidden.alias}".` },
      );
    throw context.error('42P01', `missing FROM-clause entry for table "${alias}"`, location);
  }

  /** Throws 42703, 42702. */
  column(context: BindContext, name: string, location: number | undefined): ColumnExpression {
    const found = this.find(context, name, location);
    if (found !== undefined) return found;
    if (this.relations.some((relation) => relation.alias === name))
      throw context.unsupported(`whole-row reference "${name}"`, location);
    if (this.relations.length > 0 && systemColumns.has(name))
      throw context.unsupported(`system column "${name}"`, location);
    throw context.error('42703', `column "${name}" does not exist`, location);
  }

  /** The column of this name, if there is one. Throws 42702 where there are several. */
  find(
    context: BindContext,
    name: string,
    location: number | undefined,
  ): ColumnExpression | undefined {
    let found: ColumnExpression | undefined;
    for (const relation of this.relations) {
      for (let i = 0; i < relation.columns.length; i++) {
        if (relation.columns[i]?.name !== name) continue;
        if (found !== undefined)
          throw context.error('42702', `column reference "${name}" is ambiguous`, location);
        found = this.reference(relation, i, location);
      }
    }
    return found;
  }

  qualified(
    context: BindContext,
    alias: string,
    name: string,
    location: number | undefined,
  ): ColumnExpression {
    const relation = this.relation(context, alias, location);
    const index = relation.columns.findIndex((column) => column.name === name);
    if (index >= 0) return this.reference(relation, index, location);
    if (systemColumns.has(name)) throw context.unsupported(`system column "${name}"`, location);
    throw context.error('42703', `column ${alias}.${name} does not exist`, location);
  }

  private reference(
    relation: Relation,
    index: number,
    location: number | undefined,
  ): ColumnExpression {
    let offset = index;
    for (const other of this.relations) {
      if (other === relation) break;
      offset += other.columns.length;
    }
    const column = relation.columns[index];
    if (column === undefined) throw new RangeError('scope column exists');
    return {
      kind: 'column',
      type: column.type,
      modifier: column.modifier,
      location,
      index: offset,
      name: column.name,
      relation: relation.alias,
      tableOid: column.tableOid,
      attributeNumber: column.attributeNumber,
    };
  }
}

export const emptyScope: Scope = new Scope([]);
