/** information_schema: the standard's views of the same catalog. */

import type { SqlType } from '../../types/type.ts';
import { checkText, defaultText } from '../definitions.ts';
import {
  columnAt,
  type Deferrable,
  type ReferentialAction,
  type TableDescriptor,
} from '../descriptor.ts';
import { isMaterialized } from '../relation-word.ts';
import { flotillaSchema } from '../snapshot.ts';
import { isTemporarySchema } from '../temporary-schema.ts';
import { domainTables } from './information-domains.ts';
import { typeFacts } from './information-types.ts';
import { type RowsOf, type SystemRow, systemShapes } from './layout.ts';
import type { VirtualSource } from './virtual-table.ts';

function* tables({ snapshot, database }: VirtualSource): Iterable<SystemRow> {
  for (const relation of snapshot.sorted()) {
    if (relation.kind === 'sequence' || isMaterialized(relation)) continue;
    yield {
      table_catalog: database,
      table_schema: relation.schema,
      table_name: relation.name,
      table_type: isTemporarySchema(relation.schema)
        ? 'LOCAL TEMPORARY'
        : relation.kind === 'view'
          ? 'VIEW'
          : 'BASE TABLE',
      is_insertable_into: relation.kind === 'view' ? 'NO' : 'YES',
      is_typed: 'NO',
    };
  }
  for (const { schema, name } of flotillaShapes)
    yield {
      table_catalog: database,
      table_schema: schema,
      table_name: name,
      table_type: 'VIEW',
      is_insertable_into: 'NO',
      is_typed: 'NO',
    };
}

/** The tables of the cluster are found like those of users. */
const flotillaShapes = systemShapes.filter(({ schema }) => schema === flotillaSchema);

/** Of a domain, what it is over, and its name. */
function columnType(
  { type, modifier }: { readonly type: SqlType; readonly modifier: number },
  database: string,
): SystemRow {
  const { domain } = type;
  if (domain === undefined) return typeFacts(type, modifier);
  const facts = typeFacts(domain.type, domain.modifier);
  return { ...facts, domain_catalog: database, domain_schema: type.schema, domain_name: type.name };
}

/** As PostgreSQL has it, only what the domain itself says. */
function refusesNull({ domain }: SqlType): boolean {
  return domain?.notNull === true;
}

function* columns({ snapshot, database, names }: VirtualSource): Iterable<SystemRow> {
  for (const relation of snapshot.sorted()) {
    if (relation.kind === 'sequence' || isMaterialized(relation)) continue;
    const common = {
      table_catalog: database,
      table_schema: relation.schema,
      table_name: relation.name,
      udt_catalog: database,
      is_self_referencing: 'NO',
      identity_cycle: 'NO',
    };
    if (relation.kind === 'view') {
      for (const [i, column] of relation.columns.entries())
        yield {
          ...common,
          ...columnType(column, database),
          column_name: column.name,
          ordinal_position: i + 1,
          dtd_identifier: String(i + 1),
          is_nullable: refusesNull(column.type) ? 'NO' : 'YES',
          is_identity: 'NO',
          is_generated: 'NEVER',
          is_updatable: 'NO',
        };
      continue;
    }
    for (const column of relation.columns) {
      const identity =
        column.identity !== undefined && column.default?.kind === 'nextval'
          ? snapshot.relations.get(column.default.sequence)
          : undefined;
      const options = identity?.kind === 'sequence' ? identity.options : undefined;
      yield {
        ...common,
        ...columnType(column, database),
        column_name: column.name,
        ordinal_position: column.attributeNumber,
        dtd_identifier: String(column.attributeNumber),
        column_default:
          column.generated === undefined ? (defaultText(column, snapshot, names) ?? null) : null,
        is_nullable: column.notNull || refusesNull(column.type) ? 'NO' : 'YES',
        is_identity: column.identity === undefined ? 'NO' : 'YES',
        identity_generation: column.identity?.toUpperCase() ?? null,
        identity_start: options === undefined ? null : String(options.start),
        identity_increment: options === undefined ? null : String(options.increment),
        identity_maximum: options === undefined ? null : String(options.maximum),
        identity_minimum: options === undefined ? null : String(options.minimum),
        identity_cycle: options?.cycle === true ? 'YES' : 'NO',
        is_generated: column.generated === undefined ? 'NEVER' : 'ALWAYS',
        generation_expression: column.generated ?? null,
        is_updatable: 'YES',
      };
    }
  }
  for (const { schema, name, columns: own } of flotillaShapes)
    for (const [i, column] of own.entries())
      yield {
        ...typeFacts(column.type, column.modifier),
        table_catalog: database,
        table_schema: schema,
        table_name: name,
        udt_catalog: database,
        column_name: column.name,
        ordinal_position: i + 1,
        dtd_identifier: String(i + 1),
        is_nullable: 'YES',
        is_identity: 'NO',
        is_generated: 'NEVER',
        is_self_referencing: 'NO',
        identity_cycle: 'NO',
        is_updatable: 'NO',
      };
}

interface Constraint {
  readonly table: TableDescriptor;
  readonly name: string;
  readonly type: 'PRIMARY KEY' | 'UNIQUE' | 'FOREIGN KEY' | 'CHECK';
  readonly columns: readonly number[];
  readonly target?: { readonly table: TableDescriptor; readonly columns: readonly number[] };
  readonly deferrable?: Deferrable | undefined;
}

function* constraintsOf({ snapshot }: VirtualSource): Iterable<Constraint> {
  for (const table of snapshot.tables()) {
    const { primaryKey } = table;
    if (primaryKey !== undefined)
      yield {
        table,
        name: primaryKey.constraint,
        type: 'PRIMARY KEY',
        columns: primaryKey.columns.map((at) => table.columns[at]?.attributeNumber ?? 0),
      };
    for (const index of table.indexes)
      if (index.constraintOid !== 0)
        yield {
          table,
          name: index.name,
          type: index.primary === true ? 'PRIMARY KEY' : 'UNIQUE',
          columns: index.columns.map((one) => one.attributeNumber),
          deferrable: index.deferrable,
        };
    for (const { name, columns: own, target, targetColumns, deferrable } of table.foreignKeys) {
      const other = snapshot.table(target);
      if (other === undefined) continue;
      yield {
        table,
        name,
        type: 'FOREIGN KEY',
        columns: own,
        target: { table: other, columns: targetColumns },
        deferrable,
      };
    }
    for (const { name } of table.checks) yield { table, name, type: 'CHECK', columns: [] };
  }
}

function named(source: VirtualSource, { table, name }: Constraint): SystemRow {
  return {
    constraint_catalog: source.database,
    constraint_schema: table.schema,
    constraint_name: name,
    table_catalog: source.database,
    table_schema: table.schema,
    table_name: table.name,
  };
}

function* tableConstraints(source: VirtualSource): Iterable<SystemRow> {
  const common = { is_deferrable: 'NO', initially_deferred: 'NO', enforced: 'YES' };
  for (const constraint of constraintsOf(source))
    yield {
      ...named(source, constraint),
      ...common,
      is_deferrable: constraint.deferrable === undefined ? 'NO' : 'YES',
      initially_deferred: constraint.deferrable === 'initially deferred' ? 'YES' : 'NO',
      constraint_type: constraint.type,
      nulls_distinct: constraint.type === 'UNIQUE' ? 'YES' : null,
    };
  // NOT NULL is a CHECK to the standard; the name is PostgreSQL's.
  for (const { id, namespace, table, column } of notNulls(source))
    yield {
      ...common,
      constraint_catalog: source.database,
      constraint_schema: table.schema,
      constraint_name: `${namespace}_${id}_${column}_not_null`,
      table_catalog: source.database,
      table_schema: table.schema,
      table_name: table.name,
      constraint_type: 'CHECK',
    };
}

function* notNulls({ snapshot }: VirtualSource) {
  for (const table of snapshot.tables())
    for (const column of table.columns)
      if (column.notNull)
        yield {
          table,
          id: table.id,
          namespace: snapshot.schemas.get(table.schema)?.id ?? 0,
          column: column.attributeNumber,
          name: column.name,
        };
}

function* checkConstraints(source: VirtualSource): Iterable<SystemRow> {
  const { snapshot, database } = source;
  for (const table of snapshot.tables())
    for (const check of table.checks)
      yield {
        constraint_catalog: database,
        constraint_schema: table.schema,
        constraint_name: check.name,
        check_clause: checkText(check).slice('CHECK ('.length, -1),
      };
  for (const { schema, domain } of snapshot.types())
    for (const check of domain?.checks ?? [])
      yield {
        constraint_catalog: database,
        constraint_schema: schema,
        constraint_name: check.name,
        check_clause: checkText(check).slice('CHECK ('.length, -1),
      };
  for (const { id, namespace, table, column, name } of notNulls(source))
    yield {
      constraint_catalog: database,
      constraint_schema: table.schema,
      constraint_name: `${namespace}_${id}_${column}_not_null`,
      check_clause: `${name} IS NOT NULL`,
    };
}

function* keyColumnUsage(source: VirtualSource): Iterable<SystemRow> {
  for (const constraint of constraintsOf(source)) {
    const { table, target } = constraint;
    for (const [i, number] of constraint.columns.entries())
      yield {
        ...named(source, constraint),
        column_name: columnAt(table, number).name,
        ordinal_position: i + 1,
        position_in_unique_constraint:
          target === undefined ? null : positionInKey(target.table, target.columns, i),
      };
  }
}

/** Where the i-th column that a foreign key refers to stands in the key there. */
function positionInKey(table: TableDescriptor, columns: readonly number[], i: number): number {
  const wanted = columns[i] ?? 0;
  const primary = (table.primaryKey?.columns ?? []).map(
    (at) => table.columns[at]?.attributeNumber ?? 0,
  );
  const keys = [
    primary,
    ...table.indexes
      .filter((one) => one.unique)
      .map((one) => one.columns.map((part) => part.attributeNumber)),
  ];
  const key = keys.find(
    (one) => one.length === columns.length && columns.every((number) => one.includes(number)),
  );
  return (key?.indexOf(wanted) ?? i) + 1;
}

function* constraintColumnUsage(source: VirtualSource): Iterable<SystemRow> {
  for (const constraint of constraintsOf(source)) {
    const { table, columns: numbers } = constraint.target ?? constraint;
    for (const number of numbers)
      yield {
        ...named(source, constraint),
        table_schema: table.schema,
        table_name: table.name,
        column_name: columnAt(table, number).name,
      };
  }
}

function* constraintTableUsage(source: VirtualSource): Iterable<SystemRow> {
  for (const constraint of constraintsOf(source)) {
    const { table } = constraint.target ?? constraint;
    yield { ...named(source, constraint), table_schema: table.schema, table_name: table.name };
  }
}

function* referentialConstraints({ snapshot, database }: VirtualSource): Iterable<SystemRow> {
  const rule = (action: ReferentialAction) => action.toUpperCase();
  for (const table of snapshot.tables())
    for (const key of table.foreignKeys) {
      const target = snapshot.table(key.target);
      if (target === undefined) continue;
      const wanted = [...key.targetColumns].sort().join();
      const unique = target.indexes.find(
        (one) =>
          one.unique &&
          one.columns
            .map((part) => part.attributeNumber)
            .sort()
            .join() === wanted,
      );
      const primary = (target.primaryKey?.columns ?? []).map(
        (at) => target.columns[at]?.attributeNumber ?? 0,
      );
      const isPrimary = primary.sort().join() === wanted;
      yield {
        constraint_catalog: database,
        constraint_schema: table.schema,
        constraint_name: key.name,
        unique_constraint_catalog: database,
        unique_constraint_schema: target.schema,
        unique_constraint_name: isPrimary
          ? (target.primaryKey?.constraint ?? null)
          : (unique?.name ?? null),
        match_option: key.matchFull ? 'FULL' : 'NONE',
        update_rule: rule(key.onUpdate),
        delete_rule: rule(key.onDelete),
      };
    }
}

function* schemata({ snapshot, database }: VirtualSource): Iterable<SystemRow> {
  for (const schema of snapshot.schemas.values())
    yield { catalog_name: database, schema_name: schema.name, schema_owner: schema.owner };
}

const sequenceTypes = {
  int2: ['smallint', 16],
  int4: ['integer', 32],
  int8: ['bigint', 64],
} as const;

function* sequences({ snapshot, database }: VirtualSource): Iterable<SystemRow> {
  for (const sequence of snapshot.sorted()) {
    if (sequence.kind !== 'sequence') continue;
    const { options } = sequence;
    const owner =
      sequence.ownedBy === undefined ? undefined : snapshot.table(sequence.ownedBy.table);
    const column = owner?.columns.find(
      (one) => one.attributeNumber === sequence.ownedBy?.attributeNumber,
    );
    if (column?.identity !== undefined) continue;
    const [type, bits] = sequenceTypes[options.type];
    yield {
      sequence_catalog: database,
      sequence_schema: sequence.schema,
      sequence_name: sequence.name,
      data_type: type,
      numeric_precision: bits,
      numeric_precision_radix: 2,
      numeric_scale: 0,
      start_value: String(options.start),
      minimum_value: String(options.minimum),
      maximum_value: String(options.maximum),
      increment: String(options.increment),
      cycle_option: options.cycle ? 'YES' : 'NO',
    };
  }
}

function* views({ snapshot, database }: VirtualSource): Iterable<SystemRow> {
  for (const view of snapshot.sorted())
    if (view.kind === 'view')
      yield {
        table_catalog: database,
        table_schema: view.schema,
        table_name: view.name,
        view_definition: ` ${view.query};`,
        check_option: 'NONE',
        is_updatable: 'NO',
        is_insertable_into: 'NO',
        is_trigger_updatable: 'NO',
        is_trigger_deletable: 'NO',
        is_trigger_insertable_into: 'NO',
      };
}

function* catalogName({ database }: VirtualSource): Iterable<SystemRow> {
  yield { catalog_name: database };
}

function* enabledRoles({ user }: VirtualSource): Iterable<SystemRow> {
  yield { role_name: user };
}

export const informationTables: Readonly<Record<string, RowsOf>> = {
  tables,
  columns,
  table_constraints: tableConstraints,
  check_constraints: checkConstraints,
  key_column_usage: keyColumnUsage,
  constraint_column_usage: constraintColumnUsage,
  constraint_table_usage: constraintTableUsage,
  referential_constraints: referentialConstraints,
  schemata,
  sequences,
  views,
  information_schema_catalog_name: catalogName,
  enabled_roles: enabledRoles,
  ...domainTables,
};
