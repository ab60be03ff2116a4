/**
 * A table in the making, by CREATE TABLE or ALTER TABLE: columns, constraints and indexes as the statement adds them, and
 * what has to be done about rows that are there already. Called by create-table.ts and alter-table.ts.
 */
import type { ColumnDef, Constraint, Node } from 'libpg-query';
import { nameParts, refuseOthers, stringOf } from '../bind/ast.ts';
import { ExpressionBinder } from '../bind/bind-expression.ts';
import { bindDefault } from '../bind/default.ts';
import { type Expression, markColumns, some } from '../bind/expression.ts';
import { printStored, tableScope } from '../bind/stored-expression.ts';
import { bindTypeName } from '../bind/type-name.ts';
import {
  type CheckDescriptor,
  type ColumnDescriptor,
  type ForeignKeyDescriptor,
  type Identity,
  type IndexDescriptor,
  primaryColumns,
  type TableDescriptor,
} from '../catalog/descriptor.ts';
import { keyColumnsMax, tableColumnsMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { isSerialName } from '../types/type.ts';
import { deferrableField, deferrableOf, withAttributes } from './constraint-attributes.ts';
import type { DdlContext } from './ddl-context.ts';
import { foreignKeyOf } from './foreign-key.ts';
import { generationText } from './generated-column.ts';
import { chooseName, chooseRelationName, indexNameColumns } from './object-names.ts';
import { makeColumnSequence, serialTypes } from './sequences.ts';

/** What rows that are there already ask for. */
export type Work =
  /** Their keys or values change: all of them are written anew. */
  | { readonly kind: 'rewrite' }
  | { readonly kind: 'not null'; readonly attributeNumber: number }
  | { readonly kind: 'check'; readonly check: CheckDescriptor }
  | { readonly kind: 'index'; readonly index: IndexDescriptor }
  | ValueWork
  | { readonly kind: 'foreign key'; readonly foreignKey: ForeignKeyDescriptor };

/** Values of a column are looked at by themselves. */
export interface ValueWork {
  readonly kind: 'value';
  readonly attributeNumber: number;
  /** Throws what is wrong with the value. */
  readonly judge: (
    value: Datum,
    of: { readonly table: TableDescriptor; readonly column: ColumnDescriptor },
  ) => void;
}

const systemColumns: readonly string[] = ['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'];

export class TableDraft {
  readonly context: DdlContext;
  readonly work: Work[] = [];
  /** Values for rows that are rewritten: over the old row. Columns that are not in it keep their own. */
  readonly conversions: Map<number, Expression> = new Map();
  table: TableDescriptor;
  private readonly laterGenerated: {
    readonly attributeNumber: number;
    readonly expression: Node | undefined;
  }[] = [];
  private readonly laterChecks: Constraint[] = [];
  private readonly laterForeignKeys: {
    readonly constraint: Constraint;
    readonly column: string | undefined;
  }[] = [];

  constructor(context: DdlContext, table: TableDescriptor) {
    this.context = context;
    this.table = table;
  }

  change(fields: Partial<TableDescriptor>): void {
    this.table = { ...this.table, ...fields };
  }

  changeColumn(attributeNumber: number, fields: Partial<ColumnDescriptor>): void {
    this.change({
      columns: this.table.columns.map((column) =>
        column.attributeNumber === attributeNumber ? { ...column, ...fields } : column,
      ),
    });
  }

  /** Whether the statement makes the table: then errors point into it. */
  get isNew(): boolean {
    return this.context.snapshot.table(this.table.id) === undefined;
  }

  nextAttributeNumber(): number {
    const numbers = [...this.table.columns, ...this.table.dropped].map(
      (one) => one.attributeNumber,
    );
    return Math.max(0, ...numbers) + 1;
  }

  /** Throws 42703. */
  column(name: string): ColumnDescriptor {
    const column = this.table.columns.find((one) => one.name === name);
    if (column !== undefined) return column;
    throw new SqlError('42703', `column "${name}" of relation "${this.table.name}" does not exist`);
  }

  /** The column, with the constraints that were written behind it. Throws 42701, 42704, 42601, 0A000. */
  async addColumn(definition: ColumnDef): Promise<ColumnDescriptor> {
    const context = this.context.binder();
    refuseOthers(
      context,
      definition,
      ['colname', 'typeName', 'constraints', 'is_local', 'location', 'collClause'],
      { compression: 'COMPRESSION', storage_name: 'STORAGE', fdwoptions: 'OPTIONS' },
      definition.location,
    );
    const { colname = '', typeName, location, collClause } = definition;
    const collation = nameParts(collClause?.collname).pop();
    if (collation !== undefined && !['default', 'C', 'POSIX'].includes(collation))
      throw context.unsupported(`collation "${collation}"`, collClause?.location);
    if (typeName === undefined) throw context.unsupported('column without a type', location);
    if (systemColumns.includes(colname))
      throw new SqlError('42701', `column name "${colname}" conflicts with a system column name`);
    const serial = nameParts(typeName.names).pop() ?? '';
    const isSerial = isSerialName(serial);
    const { type, modifier } = isSerial
      ? { type: serialTypes(serial), modifier: -1 }
      : bindTypeName(context, typeName);
    if (!type.storable)
      throw context.unsupported(`column of type ${type.display}`, typeName.location);
    const attributeNumber = this.nextAttributeNumber();
    if (attributeNumber > tableColumnsMax)
      throw new SqlError('54011', `tables can have at most ${tableColumnsMax} columns`);
    const column: ColumnDescriptor = {
      name: colname,
      attributeNumber,
      type,
      modifier,
      notNull: isSerial,
      default: undefined,
    };
    this.change({ columns: [...this.table.columns, column] });
    if (isSerial) await this.giveSequence(column, undefined, []);
    await this.addColumnConstraints(definition.constraints ?? [], attributeNumber, isSerial);
    const made = this.table.columns.find((one) => one.attributeNumber === attributeNumber);
    if (made === undefined) throw new RangeError('the column is there');
    return made;
  }

  private async addColumnConstraints(
    nodes: readonly Node[],
    attributeNumber: number,
    isSerial: boolean,
  ): Promise<void> {
    let nullability: boolean | undefined;
    let hasDefault = isSerial;
    for (const constraint of withAttributes(this.context.binder(), nodes)) {
      const context = this.context.binder();
      const { contype, location, raw_expr: expression } = constraint;
      const column = this.byNumber(attributeNumber);
      const twice = (what: string) =>
        context.error(
          '42601',
          `${what} specified for column "${column.name}" of table "${this.table.name}"`,
          location,
        );
      switch (contype) {
        case 'CONSTR_NULL':
        case 'CONSTR_NOTNULL': {
          const notNull = contype === 'CONSTR_NOTNULL';
          if (nullability !== undefined && nullability !== notNull)
            throw context.error(
              '42601',
              `conflicting NULL/NOT NULL declarations for column "${column.name}" of table "${this.table.name}"`,
              location,
            );
          nullability = notNull;
          if (isSerial && !notNull)
            throw context.error(
              '42601',
              `conflicting NULL/NOT NULL declarations for column "${column.name}" of table "${this.table.name}"`,
              location,
            );
          this.changeColumn(attributeNumber, { notNull: notNull || column.notNull });
          if (notNull) this.work.push({ kind: 'not null', attributeNumber });
          break;
        }
        case 'CONSTR_DEFAULT':
          if (hasDefault) throw twice('multiple default values');
          hasDefault = true;
          if (expression !== undefined)
            this.changeColumn(attributeNumber, {
              default: bindDefault(context, expression, column),
            });
          break;
        case 'CONSTR_IDENTITY': {
          if (hasDefault) throw twice('both default and identity');
          if (column.identity !== undefined) throw twice('multiple identity specifications');
          if (!['int2', 'int4', 'int8'].includes(column.type.name))
            throw context.error(
              '22023',
              'identity column type must be smallint, integer, or bigint',
              undefined,
            );
          hasDefault = true;
          const { generated_when: when, options = [] } = constraint;
          this.changeColumn(attributeNumber, { notNull: true });
          await this.giveSequence(column, when === 'a' ? 'always' : 'by default', options);
          break;
        }
        case 'CONSTR_GENERATED': {
          if (hasDefault) throw twice('both default and generation expression');
          if (constraint.generated_kind === 'v')
            throw context.unsupported('virtual generated column', location);
          this.laterGenerated.push({ attributeNumber, expression });
          if (!this.isNew) await this.finishColumns();
          break;
        }
        case 'CONSTR_CHECK':
          if (this.isNew) this.laterChecks.push(constraint);
          else await this.addConstraint(constraint, column.name);
          break;
        default:
          await this.addConstraint(constraint, column.name);
      }
    }
  }

  /** The column's values come from a sequence of its own. Throws 42P07, 22023. */
  async giveSequence(
    column: ColumnDescriptor,
    identity: Identity | undefined,
    options: readonly Node[],
  ): Promise<void> {
    const { table, context } = this;
    const taken = [table.name, ...this.ownNames()];
    const sequence = await makeColumnSequence(context, { table, column, taken }, options);
    this.changeColumn(column.attributeNumber, {
      default: { kind: 'nextval', sequence },
      ...(identity === undefined ? {} : { identity }),
    });
  }

  private byNumber(attributeNumber: number): ColumnDescriptor {
    const column = this.table.columns.find((one) => one.attributeNumber === attributeNumber);
    if (column === undefined) throw new RangeError('the column is there');
    return column;
  }

  private refuseQueries(bound: Expression, what: string): void {
    if (some(bound, (one) => one.kind === 'subquery'))
      throw new SqlError('0A000', `cannot use subquery in ${what}`);
  }

  /** @param column whose definition it was written behind. Throws 42P16, 42703, 42701, 42710, 0A000. */
  async addConstraint(constraint: Constraint, column: string | undefined): Promise<void> {
    const context = this.context.binder();
    const { contype, location } = constraint;
    const names = column === undefined ? undefined : [column];
    switch (contype) {
      case 'CONSTR_PRIMARY':
        return this.addPrimaryKey(constraint, names ?? nameParts(constraint.keys));
      case 'CONSTR_UNIQUE':
        return this.addUnique(constraint, names ?? nameParts(constraint.keys));
      case 'CONSTR_CHECK':
        return this.addCheck(constraint);
      case 'CONSTR_FOREIGN':
        // Their targets may be keys that this statement only comes to.
        this.laterForeignKeys.push({ constraint, column });
        return;
      case 'CONSTR_NOTNULL': {
        const [name = ''] = nameParts(constraint.keys);
        const { attributeNumber } = this.column(name);
        this.changeColumn(attributeNumber, { notNull: true });
        this.work.push({ kind: 'not null', attributeNumber });
        return;
      }
      default:
        throw context.unsupported(constraintWords[contype ?? ''] ?? contype ?? '', location);
    }
  }

  /** What the columns of a new table say of each other, once all of them are there. */
  async finishColumns(): Promise<void> {
    const pending = this.laterGenerated.splice(0);
    const numbers = pending.map((one) => one.attributeNumber);
    for (const { attributeNumber, expression } of pending) {
      const column = this.byNumber(attributeNumber);
      const context = this.context.binder();
      const { table, isNew } = this;
      const generated = generationText({ context, table, isNew }, column, expression, numbers);
      this.changeColumn(attributeNumber, { generated });
    }
    for (const check of this.laterChecks.splice(0)) await this.addConstraint(check, undefined);
  }

  /** The foreign keys that were asked for, once everything else of the statement is there. */
  async finish(): Promise<void> {
    for (const { constraint, column } of this.laterForeignKeys.splice(0)) {
      const foreignKey = await foreignKeyOf(this, constraint, column);
      this.change({ foreignKeys: [...this.table.foreignKeys, foreignKey] });
      if (constraint.skip_validation !== true) this.work.push({ kind: 'foreign key', foreignKey });
    }
  }

  private async addPrimaryKey(constraint: Constraint, names: readonly string[]): Promise<void> {
    const context = this.context.binder();
    this.checkKeyClause(constraint);
    if (primaryColumns(this.table) !== undefined)
      throw context.error(
        '42P16',
        `multiple primary keys for table "${this.table.name}" are not allowed`,
        this.isNew ? constraint.location : undefined,
      );
    if (constraint.indexname !== undefined)
      throw context.unsupported('PRIMARY KEY USING INDEX', constraint.location);
    const offsets = this.keyOffsets(constraint, names, 'primary key');
    for (const offset of offsets) {
      const column = this.table.columns[offset];
      if (column === undefined) continue;
      this.changeColumn(column.attributeNumber, { notNull: true });
      this.work.push({ kind: 'not null', attributeNumber: column.attributeNumber });
    }
    const name = this.indexName(constraint.conname, '', 'pkey');
    const deferrable = deferrableOf(constraint);
    if (deferrable !== undefined) {
      this.addIndex({ ...(await this.uniqueIndex(name, offsets)), deferrable, primary: true });
      return;
    }
    const indexOid = await this.context.takeId();
    const constraintOid = await this.context.takeId();
    this.change({ primaryKey: { constraint: name, columns: offsets, indexOid, constraintOid } });
    this.work.push({ kind: 'rewrite' });
  }

  private async addUnique(constraint: Constraint, names: readonly string[]): Promise<void> {
    const context = this.context.binder();
    this.checkKeyClause(constraint);
    if (constraint.nulls_not_distinct === true)
      throw context.unsupported('NULLS NOT DISTINCT', constraint.location);
    if (constraint.indexname !== undefined) {
      await this.adoptIndex(constraint, constraint.indexname);
      return;
    }
    const offsets = this.keyOffsets(constraint, names, 'unique');
    const name = this.indexName(constraint.conname, indexNameColumns(names), 'key');
    this.addIndex({
      ...(await this.uniqueIndex(name, offsets)),
      included: nameParts(constraint.including).map((one) => this.column(one).attributeNumber),
      ...deferrableField(constraint),
    });
  }

  /** That of a constraint. */
  private async uniqueIndex(name: string, offsets: readonly number[]): Promise<IndexDescriptor> {
    const oid = await this.context.takeId();
    const constraintOid = await this.context.takeId();
    const columns = offsets.map((offset) => ({
      attributeNumber: this.table.columns[offset]?.attributeNumber ?? 0,
      descending: false,
      nullsFirst: false,
    }));
    return { oid, name, number: oid, unique: true, constraintOid, columns, included: [] };
  }

  addIndex(index: IndexDescriptor): void {
    this.change({ indexes: [...this.table.indexes, index] });
    this.work.push({ kind: 'index', index });
  }

  /** UNIQUE USING INDEX. */
  private async adoptIndex(constraint: Constraint, indexName: string): Promise<void> {
    const index = this.table.indexes.find((one) => one.name === indexName);
    if (index === undefined) throw new SqlError('42704', `index "${indexName}" does not exist`);
    if (
      !index.unique ||
      index.predicate !== undefined ||
      index.columns.some((one) => one.expression !== undefined)
    )
      throw new SqlError('42809', `"${indexName}" is not a unique index`);
    const name = constraint.conname ?? indexName;
    const constraintOid = await this.context.takeId();
    if (name !== indexName)
      this.context.notice(
        '00000',
        `ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index "${indexName}" to "${name}"`,
      );
    this.change({
      indexes: this.table.indexes.map((one) =>
        one === index ? { ...one, name, constraintOid, ...deferrableField(constraint) } : one,
      ),
    });
  }

  private checkKeyClause(constraint: Constraint): void {
    refuseOthers(
      this.context.binder(),
      constraint,
      [
        'contype',
        'conname',
        'keys',
        'location',
        'initially_valid',
        'is_enforced',
        'options',
        'indexname',
        'nulls_not_distinct',
        'deferrable',
        'initdeferred',
        ...(constraint.contype === 'CONSTR_UNIQUE' ? ['including'] : []),
      ],
      {
        including: 'INCLUDE',
        indexspace: 'USING INDEX TABLESPACE',
        without_overlaps: 'WITHOUT OVERLAPS',
      },
      constraint.location,
    );
  }

  private keyOffsets(constraint: Constraint, names: readonly string[], what: string): number[] {
    const context = this.context.binder();
    if (names.length > keyColumnsMax)
      throw new SqlError('54011', `cannot use more than ${keyColumnsMax} columns in an index`);
    const offsets: number[] = [];
    for (const name of names) {
      const offset = this.table.columns.findIndex((column) => column.name === name);
      if (offset < 0)
        throw context.error(
          '42703',
          `column "${name}" named in key does not exist`,
          constraint.location,
        );
      if (offsets.includes(offset))
        throw context.error(
          '42701',
          `column "${name}" appears twice in ${what} constraint`,
          constraint.location,
        );
      offsets.push(offset);
    }
    return offsets;
  }

  /** Names of this table's own constraints and indexes, which the catalog may not have yet. */
  ownNames(): string[] {
    const { primaryKey, indexes, checks, foreignKeys } = this.table;
    return [
      ...(primaryKey === undefined ? [] : [primaryKey.constraint]),
      ...[...indexes, ...checks, ...foreignKeys].map((one) => one.name),
    ];
  }

  /** Throws 42P07. */
  indexName(given: string | undefined, columns: string, label: string): string {
    const { schema, name } = this.table;
    const { snapshot } = this.context;
    const own = [name, ...this.ownNames()];
    if (given === undefined)
      return chooseRelationName(snapshot, schema, { first: name, second: columns, label }, own);
    if (snapshot.isTaken(schema, given) || own.includes(given))
      throw new SqlError('42P07', `relation "${given}" already exists`);
    return given;
  }

  /** Throws 42710. */
  constraintName(given: string | undefined, column: string, label: string): string {
    if (given === undefined)
      return chooseName(this.table.name, column, label, (name) => this.isConstraintName(name));
    this.refuseTaken(given);
    return given;
  }

  private refuseTaken(name: string): void {
    const { checks, foreignKeys, primaryKey, indexes } = this.table;
    const constraints = [
      ...checks,
      ...foreignKeys,
      ...indexes.filter((one) => one.constraintOid !== 0),
    ];
    if (constraints.some((one) => one.name === name) || primaryKey?.constraint === name)
      throw new SqlError(
        '42710',
        `constraint "${name}" for relation "${this.table.name}" already exists`,
      );
  }

  private isConstraintName(name: string): boolean {
    if (this.ownNames().includes(name)) return true;
    return this.context.snapshot
      .tables()
      .some(
        (table) =>
          table.schema === this.table.schema &&
          [...table.checks, ...table.foreignKeys].some((one) => one.name === name),
      );
  }

  private async addCheck(constraint: Constraint): Promise<void> {
    const context = this.context.binder();
    refuseOthers(
      context,
      constraint,
      [
        'contype',
        'conname',
        'raw_expr',
        'location',
        'initially_valid',
        'skip_validation',
        'is_no_inherit',
        'is_enforced',
      ],
      {},
      constraint.location,
    );
    const bound = new ExpressionBinder(context, tableScope(this.table), 'CHECK').bindBoolean(
      constraint.raw_expr,
      'CHECK',
    );
    this.refuseQueries(bound, 'check constraint');
    const used: boolean[] = [];
    markColumns(bound, used);
    const [only, second] = Object.keys(used).map(Number);
    const column =
      only !== undefined && second === undefined ? this.table.columns[only] : undefined;
    const name = this.constraintName(constraint.conname, column?.name ?? '', 'check');
    const check: CheckDescriptor = {
      oid: await this.context.takeId(),
      name,
      expression: printStored(bound, this.table),
    };
    this.change({ checks: [...this.table.checks, check] });
    if (constraint.skip_validation !== true) this.work.push({ kind: 'check', check });
  }
}

const constraintWords: Readonly<Record<string, string>> = {
  CONSTR_EXCLUSION: 'EXCLUDE constraint',
};

/** Names in `(a, b)`. */
export function namesIn(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map((node) => stringOf(node) ?? '');
}
