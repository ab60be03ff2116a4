/**
 * A table in the making, by CREATE TABLE or ALTER TABLE: columns, constraints and indexes as the statement adds them, and
 * what has to be done about rows that are there already. Called by create-table.ts and alter-table.ts.
 */
import type { ColumnDef, Constraint, Node } from 'libpg-query';
import { nameParts, refuseOthers, stringOf } from '../bind/ast.ts';
import { bindDefault } from '../bind/default.ts';
import type { Expression } from '../bind/expression.ts';
import { bindTypeName } from '../bind/type-name.ts';
import type {
  ColumnDescriptor,
  Identity,
  IndexDescriptor,
  TableDescriptor,
} from '../catalog/descriptor.ts';
import { tableColumnsMax } from '../limits.ts';
import { SqlError } from '../sql-error.ts';
import { isSerialName } from '../types/type.ts';
import { checkOf } from './check-constraint.ts';
import { withAttributes } from './constraint-attributes.ts';
import type { DdlContext } from './ddl-context.ts';
import { foreignKeyOf } from './foreign-key.ts';
import { generationText } from './generated-column.ts';
import { addPrimaryKey, addUnique } from './key-constraint.ts';
import { chooseName, chooseRelationName } from './object-names.ts';
import { makeColumnSequence, serialTypes } from './sequences.ts';
import type { Work } from './table-work.ts';

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

  /** @param column whose definition it was written behind. Throws 42P16, 42703, 42701, 42710, 0A000. */
  async addConstraint(constraint: Constraint, column: string | undefined): Promise<void> {
    const context = this.context.binder();
    const { contype, location } = constraint;
    const names = column === undefined ? undefined : [column];
    switch (contype) {
      case 'CONSTR_PRIMARY':
        return addPrimaryKey(this, constraint, names ?? nameParts(constraint.keys));
      case 'CONSTR_UNIQUE':
        return addUnique(this, constraint, names ?? nameParts(constraint.keys));
      case 'CONSTR_CHECK': {
        const check = await checkOf(this, constraint);
        this.change({ checks: [...this.table.checks, check] });
        if (constraint.skip_validation !== true) this.work.push({ kind: 'check', check });
        return;
      }
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

  addIndex(index: IndexDescriptor): void {
    this.change({ indexes: [...this.table.indexes, index] });
    this.work.push({ kind: 'index', index });
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
}

const constraintWords: Readonly<Record<string, string>> = {
  CONSTR_EXCLUSION: 'EXCLUDE constraint',
};

/** Names in `(a, b)`. */
export function namesIn(nodes: readonly Node[] | undefined): string[] {
  return (nodes ?? []).map((node) => stringOf(node) ?? '');
}
