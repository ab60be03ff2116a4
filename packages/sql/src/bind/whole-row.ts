/** Rows of FROM's items as values, and the columns that every table has beside its own. Called by scope.ts. */
import { type Signature, typedSignature } from '../functions/signature.ts';
import { boolType, oidType, recordType } from '../types/type.ts';
import { RecordValue } from '../types/values.ts';
import { ofBaseType } from './coerce.ts';
import type { BindContext, RecordShape } from './context.ts';
import { constant, type Expression } from './expression.ts';
import type { ScopeColumn, ScopeItem } from './scope.ts';

/**
 * @param options.ownNames what the value's fields are called, where that is not what the columns are
 * @param options.maybeMissing NULL where an outer join found no row, which is seen by all columns being NULL
 */
export function recordOf(
  context: BindContext,
  columns: readonly ScopeColumn[],
  {
    ownNames,
    maybeMissing,
    location,
  }: {
    readonly ownNames?: readonly string[] | undefined;
    readonly maybeMissing: boolean;
    readonly location: number | undefined;
  },
): Expression {
  const fields = columns.map((one) => ofBaseType(one.expression));
  const names = columns.map((one) => one.name);
  const types = fields.map((one) => one.type);
  return recordCall(fields, names, {
    modifier: context.recordModifier({ names: ownNames ?? names, types }),
    ownNames,
    maybeMissing,
    location,
  });
}

/** A field of a record whose shape is known. Undefined: the value is no such record, or has no such field. */
export function recordField(
  context: BindContext,
  record: Expression,
  name: string,
): Expression | undefined {
  const shape = record.type === recordType ? context.records[record.modifier] : undefined;
  if (shape === undefined) return undefined;
  return recordFieldAt(shape, record, shape.names.indexOf(name));
}

/** @param at offset of the field; undefined: the record has none there */
export function recordFieldAt(
  shape: RecordShape,
  record: Expression,
  at: number,
): Expression | undefined {
  const type = shape.types[at];
  if (type === undefined) return undefined;
  const signature = typedSignature(
    `field_${at}`,
    [recordType],
    type,
    () =>
      ([value = null]) =>
        (value as RecordValue).values[at] ?? null,
  );
  const { location } = record;
  return { kind: 'call', type, modifier: -1, location, signature, arguments: [record] };
}

const fieldNames = new WeakMap<Signature, readonly string[]>();

/** The fields of a row that is made of them where it stands, by name; undefined: it is not. */
export function fieldsOf(
  expression: Expression,
): readonly { readonly name: string; readonly expression: Expression }[] | undefined {
  if (expression.kind !== 'call') return undefined;
  const names = fieldNames.get(expression.signature);
  return names?.flatMap((name, i) => {
    const field = expression.arguments[i];
    return field === undefined ? [] : { name, expression: field };
  });
}

/** One record of the fields. @param options as recordOf has them */
export function recordCall(
  fields: readonly Expression[],
  names: readonly string[],
  {
    modifier,
    ownNames,
    maybeMissing,
    location,
  }: {
    readonly modifier: number;
    readonly ownNames?: readonly string[] | undefined;
    readonly maybeMissing: boolean;
    readonly location: number | undefined;
  },
): Expression {
  const types = fields.map((one) => one.type);
  const signature = typedSignature(
    'row',
    types,
    recordType,
    () => (values) =>
      maybeMissing && values.length > 0 && values.every((one) => one === null)
        ? null
        : new RecordValue(values, types, ownNames ?? names),
    { strict: false },
  );
  fieldNames.set(signature, names);
  return { kind: 'call', type: recordType, modifier, location, signature, arguments: fields };
}

/** tableoid, NULL where an outer join found no row; xmax in RETURNING of INSERT. Throws 0A000 for the others. */
export function systemColumn(
  context: BindContext,
  item: ScopeItem,
  name: string,
  location: number | undefined,
): Expression {
  if (name === 'xmax' && item.xmax !== undefined) return { ...item.xmax, location };
  const [first] = item.columns;
  const own = first?.expression.kind === 'column' ? first.expression : undefined;
  if (name !== 'tableoid' || own === undefined || own.tableOid === 0)
    throw context.unsupported(`system column "${name}"`, location);
  const absent = item.columns.map(
    ({ expression: argument }): Expression => ({
      kind: 'is-null',
      type: boolType,
      modifier: -1,
      location,
      negated: false,
      argument,
    }),
  );
  const value = constant(oidType, own.tableOid, location);
  const branch = {
    when: { kind: 'and', type: boolType, modifier: -1, location, arguments: absent } as const,
    result: constant(oidType, null, location),
  };
  return {
    kind: 'case',
    type: oidType,
    modifier: -1,
    location,
    branches: [branch],
    otherwise: value,
  };
}
