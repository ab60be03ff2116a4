/**
 * Arrays and rows in expressions: ARRAY[…], subscripts and slices, ANY and ALL over arrays, ROW(…). They become calls of
 * signatures made here, so that nothing below the binder has to know them.
 */
import type { A_ArrayExpr, A_Expr, A_Indices, A_Indirection, Node, RowExpr } from 'libpg-query';
import { evaluatorOf } from '../execute/evaluate.ts';
import { arrayElement, arraySlice, nestArrays } from '../functions/array-values.ts';
import { jsonbSubscript } from '../functions/json-access.ts';
import { type Signature, typedSignature } from '../functions/signature.ts';
import type { Datum } from '../session-api.ts';
import {
  arrayTypeOf,
  boolType,
  int4Type,
  isInteger,
  jsonbType,
  recordType,
  type SqlType,
  textType,
  unknownType,
} from '../types/type.ts';
import { ArrayValue, RecordValue } from '../types/values.ts';
import { nameParts, stringOf } from './ast.ts';
import { bindAttributeCall } from './bind-function.ts';
import { bindOperator } from './bind-operator.ts';
import { fieldOf } from './bind-set-function.ts';
import type { Binder } from './binder.ts';
import {
  castTo,
  coerceToCommon,
  ofBaseType,
  requireCommonType,
  resolveUnknown,
  tryCoerce,
} from './coerce.ts';
import type { BindContext } from './context.ts';
import { column, constant, type Expression } from './expression.ts';
import { isRowIndependent, startOf } from './expression-tree.ts';
import { fold } from './fold.ts';
import { bindList } from './star.ts';
import { fieldsOf, recordField } from './whole-row.ts';

const nonStrict = { strict: false } as const;

function call(
  context: BindContext,
  signature: Signature,
  values: readonly Expression[],
  type: SqlType,
  location: number | undefined,
  modifier = -1,
): Expression {
  return fold(context, { kind: 'call', type, modifier, location, signature, arguments: values });
}

/** ARRAY[…]. @param target the array type it is cast to at once, which gives an empty one its type. Throws 42P18, 42804. */
export function bindArray(
  binder: Binder,
  node: A_ArrayExpr,
  target: SqlType | undefined,
): Expression {
  const { context } = binder;
  const { location, elements = [] } = node;
  const bound = elements.map((one) =>
    'A_ArrayExpr' in one ? bindArray(binder, one.A_ArrayExpr, target) : bindElement(binder, one),
  );
  if (bound.length === 0) {
    if (target === undefined)
      throw context.error('42P18', 'cannot determine type of empty array', location, {
        hint: 'Explicitly cast to the desired type, for example ARRAY[]::integer[].',
      });
    return constant(target, new ArrayValue([]), location);
  }
  const nested = bound.some((one) => one.type.element !== undefined && one.type.category === 'A');
  let common: SqlType;
  let coerced: readonly Expression[];
  if (target?.element !== undefined) {
    common = nested ? target : target.element;
    coerced = bound.map((one) => castTo(context, one, common, -1, one.location));
  } else {
    common = requireCommonType(context, bound, 'ARRAY');
    coerced = bound.map((one) => coerceToCommon(context, one, common, 'ARRAY'));
  }
  const type = nested ? common : arrayTypeOf(common);
  if (type === undefined)
    throw context.error(
      '42704',
      `could not find array type for data type ${common.display}`,
      location,
    );
  const build = nested ? nestArrays : (values: readonly Datum[]) => new ArrayValue(values);
  const signature = typedSignature('array', [common], type, () => build, {
    ...nonStrict,
    variadic: true,
  });
  return call(context, signature, coerced, type, location);
}

/** A domain's value stays one where there are arrays of the domain. */
function bindElement(binder: Binder, node: Node): Expression {
  const bound = binder.bindAsIs(node);
  return arrayTypeOf(bound.type) === undefined ? ofBaseType(bound) : bound;
}

/** What the row is called where it stands. */
function rowName(node: Node | undefined): string {
  const fields = node !== undefined && 'ColumnRef' in node ? node.ColumnRef.fields : undefined;
  return nameParts(fields?.filter((field) => 'String' in field)).pop() ?? 'record';
}

/** `(a)[1]`, `a[1:2]`, `j['key']`. Throws 42804. */
export function bindIndirection(binder: Binder, node: A_Indirection): Expression {
  const { context } = binder;
  const steps = node.indirection ?? [];
  const whole = binder.bindAsIs(node.arg);
  // What an array of a domain has are values of the domain.
  let value = resolveUnknown(context, whole.type.domain === undefined ? whole : ofBaseType(whole));
  const indices: A_Indices[] = [];
  for (const step of steps) {
    const name = stringOf(step);
    const field = name !== undefined && value.kind === 'set' ? fieldOf(value, name) : undefined;
    if (field !== undefined && indices.length === 0) {
      value = field;
      continue;
    }
    const fields = name === undefined || indices.length > 0 ? undefined : fieldsOf(value);
    if (fields !== undefined) {
      const own = fields.find((one) => one.name === name)?.expression;
      const called = own ?? attribute(context, value, name);
      if (called === undefined)
        throw context.error(
          '42703',
          `column ${rowName(node.arg)}.${name} does not exist`,
          value.location,
        );
      value = called;
      continue;
    }
    if (name !== undefined && indices.length === 0) {
      value = selectField(context, value, name);
      continue;
    }
    if ('A_Star' in step)
      throw context.error('0A000', 'row expansion via "*" is not supported here', startOf(value));
    if (!('A_Indices' in step)) throw context.unsupported('field selection', value.location);
    indices.push(step.A_Indices);
  }
  if (value.type === jsonbType) {
    for (const index of indices) value = bindJsonSubscript(binder, value, index);
    return value;
  }
  if (indices.length === 0) return value;
  const { type, location } = value;
  const { element } = type;
  if (element === undefined)
    throw context.error(
      '42804',
      `cannot subscript type ${type.display} because it does not support subscripting`,
      location,
    );
  const subscript = (index: A_Indices['lidx']): Expression => {
    if (index === undefined) return constant(int4Type, null);
    const bound = binder.bind(index);
    const cast = tryCoerce(context, bound, int4Type, 'assignment');
    if (cast !== undefined) return cast;
    throw context.error('42804', 'array subscript must have type integer', bound.location);
  };
  const slice = indices.some((index) => index.is_slice === true);
  const given: string[] = [];
  const subscripts = indices.flatMap((index) => {
    if (!slice) return [subscript(index.uidx)];
    given.push(`${index.lidx === undefined ? '-' : 'l'}${index.uidx === undefined ? '-' : 'u'}`);
    // In a slice a single subscript is its upper bound, from 1 on.
    const lower = index.is_slice === true ? subscript(index.lidx) : constant(int4Type, 1);
    if (index.is_slice !== true) given[given.length - 1] = 'lu';
    return [lower, subscript(index.uidx)];
  });
  const parameters = [type, ...subscripts.map(() => int4Type)];
  if (!slice) {
    const signature = typedSignature(
      'subscript',
      parameters,
      element,
      () =>
        ([array, ...at]) =>
          arrayElement(array as ArrayValue, at as readonly number[]),
    );
    return call(context, signature, [value, ...subscripts], element, location);
  }
  const signature = typedSignature(
    `slice_${given.join('')}`,
    parameters,
    type,
    () =>
      ([array = null, ...at]) => {
        if (array === null) return null;
        const bounds = given.map((shape, i) => {
          const [lower = null, upper = null] = [at[i * 2], at[i * 2 + 1]];
          const isNull =
            (shape[0] === 'l' && lower === null) || (shape[1] === 'u' && upper === null);
          return {
            isNull,
            lower: lower === null ? undefined : (lower as number),
            upper: upper === null ? undefined : (upper as number),
          };
        });
        if (bounds.some((bound) => bound.isNull)) return null;
        return arraySlice(array as ArrayValue, bounds);
      },
    nonStrict,
  );
  return call(context, signature, [value, ...subscripts], type, location);
}

function attribute(context: BindContext, value: Expression, name: string | undefined) {
  return name === undefined ? undefined : bindAttributeCall(context, name, value, value.location);
}

/** A field of a record that is known by its type alone, or a function of the value. Throws 42703, 42809. */
function selectField(context: BindContext, value: Expression, name: string): Expression {
  const found = recordField(context, value, name) ?? attribute(context, value, name);
  if (found !== undefined) return found;
  const { type } = value;
  throw type === recordType
    ? context.error(
        '42703',
        `could not identify column "${name}" in record data type`,
        startOf(value),
      )
    : context.error(
        '42809',
        `column notation .${name} applied to type ${type.display}, which is not a composite type`,
        startOf(value),
      );
}

function bindJsonSubscript(binder: Binder, value: Expression, index: A_Indices): Expression {
  const { context } = binder;
  if (index.is_slice === true)
    throw context.error('0A000', 'jsonb subscript does not support slices', value.location);
  const bound = binder.bind(index.uidx);
  const key = isInteger(bound.type)
    ? tryCoerce(context, bound, int4Type, 'assignment')
    : tryCoerce(context, bound, textType, 'implicit');
  if (key === undefined)
    throw context.error(
      '42804',
      `subscript type ${bound.type.display} is not supported`,
      bound.location,
      { hint: 'jsonb subscript must be coercible to either integer or text.' },
    );
  const signature = typedSignature(
    'jsonb_subscript',
    [jsonbType, key.type],
    jsonbType,
    () =>
      ([json = null, at = null]) =>
        jsonbSubscript(json as string, at as string | number),
  );
  return call(context, signature, [value, key], jsonbType, value.location);
}

/** `x op ANY (array)` and ALL. Throws 42809, 42804. */
export function bindArrayQuantifier(binder: Binder, node: A_Expr, how: 'any' | 'all'): Expression {
  const { context } = binder;
  const { location } = node;
  const name = nameParts(node.name).pop() ?? '=';
  let left = binder.bind(node.lexpr);
  let right = binder.bind(node.rexpr);
  if (right.type === unknownType) {
    if (left.type === unknownType) left = resolveUnknown(context, left);
    const wanted = arrayTypeOf(left.type.category === 'S' ? textType : left.type);
    right =
      (wanted === undefined ? undefined : tryCoerce(context, right, wanted, 'implicit')) ?? right;
  }
  const element = right.type.element;
  if (element === undefined)
    throw context.error('42809', 'op ANY/ALL (array) requires array on right side', location);
  if (left.type === unknownType) left = tryCoerce(context, left, element, 'implicit') ?? left;
  const equality = how === 'any' ? name === '=' : name === '<>';
  const items = equality ? itemsOf(right) : undefined;
  const test = bindOperator(
    context,
    name,
    [column(left.type, 0, { modifier: left.modifier, name: 'left' }), column(element, 1)],
    location,
    false,
  );
  if (test.type !== boolType)
    throw context.error('42809', 'op ANY/ALL (array) requires operator to yield boolean', location);
  if (items !== undefined && test.kind === 'comparison' && test.right.kind === 'column') {
    const over = onOperand(test.left, left);
    return fold(context, {
      kind: 'in',
      type: boolType,
      modifier: -1,
      location,
      negated: how === 'all',
      left: over,
      items,
    });
  }
  const evaluate = evaluatorOf(test);
  const decided = how === 'any';
  const signature = typedSignature(
    `${how} ${name}`,
    [left.type, right.type],
    boolType,
    () =>
      ([value = null, array = null], evaluation) => {
        if (array === null) return null;
        let answer: boolean | null = !decided;
        for (const one of (array as ArrayValue).elements) {
          const verdict = evaluate([value, one], evaluation);
          if (verdict === decided) return decided;
          if (verdict === null) answer = null;
        }
        return answer;
      },
    nonStrict,
  );
  return call(context, signature, [left, right], boolType, location);
}

/** The test's left side with the operand in the place of its column. */
function onOperand(side: Expression, operand: Expression): Expression {
  if (side.kind === 'column') return operand;
  return side.kind === 'cast' ? { ...side, argument: onOperand(side.argument, operand) } : side;
}

/** The elements of an array that is known here, or is written as ARRAY[…] and cannot fail for a row: all of them are computed. */
function itemsOf(array: Expression): readonly Expression[] | undefined {
  const element = array.type.element;
  if (element === undefined) return undefined;
  if (array.kind === 'constant') {
    const { value } = array;
    if (!(value instanceof ArrayValue) || value.elements.length === 0) return undefined;
    return value.elements.map((one) => constant(element, one, array.location));
  }
  if (array.kind !== 'call' || array.signature.name !== 'array') return undefined;
  const plain = (one: Expression) => one.kind === 'column' || isRowIndependent(one);
  return array.arguments.every((one) => one.type === element && plain(one))
    ? array.arguments
    : undefined;
}

/** ROW(…) and (a, b) as a value. */
export function bindRow(binder: Binder, node: RowExpr): Expression {
  const { context } = binder;
  const given = bindList(binder, node.args ?? []).map(ofBaseType);
  const values = given.map((one) => resolveUnknown(context, one));
  const types = values.map((one) => one.type);
  // A literal without a type is a text, but compares with none.
  const shown = types.map((type, i) => (given[i]?.type === unknownType ? unknownType : type));
  const signature = typedSignature(
    'row',
    types,
    recordType,
    () => (fields) => new RecordValue(fields, shown),
    nonStrict,
  );
  const names = values.map((_value, i) => `f${i + 1}`);
  const modifier = context.recordModifier({ names, types });
  return call(context, signature, values, recordType, node.location, modifier);
}
