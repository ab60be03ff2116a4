/**
 * Functions that return rows: generate_series, unnest, and the ones that take JSON, arrays and texts apart. A function
 * gives its rows one by one; who runs it paces and counts them.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { intervalSpan } from '../types/interval.ts';
import { addNumeric, compareNumeric, signNumeric } from '../types/numeric.ts';
import {
  anyarrayType,
  anyelementType,
  boolType,
  int4Type,
  int8Type,
  intervalType,
  numericType,
  regclassType,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
} from '../types/type.ts';
import type { ArrayValue, IntervalValue } from '../types/values.ts';
import { addToTimestamp, addToTimestampTz } from './datetime.ts';
import { catalogOf } from './sequences.ts';
import type { EvalContext } from './signature.ts';

export type SetRow = readonly Datum[];

export interface SetColumn {
  /** Undefined: the function's name, or its alias. */
  readonly name: string | undefined;
  readonly type: SqlType;
}

export interface SetSignature {
  readonly name: string;
  readonly parameters: readonly SqlType[];
  readonly columns: readonly SetColumn[];
  readonly variadic?: true;
  /** No rows where an argument is NULL. */
  readonly strict: boolean;
  readonly volatile?: true;
  rows(values: readonly Datum[], context: EvalContext, types: readonly SqlType[]): Iterable<SetRow>;
}

/** A function of one column that takes its name from the function. */
export function setFunction(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  rows: SetSignature['rows'],
  strict = true,
): SetSignature {
  return { name, parameters, columns: [{ name: undefined, type: result }], strict, rows };
}

function zeroStep(): SqlError {
  return new SqlError('22023', 'step size cannot equal zero');
}

function* integers([start, stop, step = 1]: readonly Datum[]): Iterable<SetRow> {
  const [from, to, by] = [start as number, stop as number, step as number];
  if (by === 0) throw zeroStep();
  for (let value = from; by > 0 ? value <= to : value >= to; value += by) yield [value];
}

function* bigints([start, stop, step = 1n]: readonly Datum[]): Iterable<SetRow> {
  const [from, to, by] = [start as bigint, stop as bigint, step as bigint];
  if (by === 0n) throw zeroStep();
  for (let value = from; by > 0n ? value <= to : value >= to; value += by) yield [value];
}

function* numerics([start, stop, step = '1']: readonly Datum[]): Iterable<SetRow> {
  const [from, to, by] = [start as string, stop as string, step as string];
  for (const [name, value] of [
    ['start', from],
    ['stop', to],
    ['step size', by],
  ] as const) {
    if (value === 'NaN')
      throw new SqlError('22023', `${name} value cannot be NaN`.replace('size value', 'size'));
    if (value.endsWith('Infinity'))
      throw new SqlError('22023', `${name} value cannot be infinity`.replace('size value', 'size'));
  }
  const sign = Number(signNumeric(by));
  if (sign === 0) throw zeroStep();
  for (let value = from; compareNumeric(value, to) * sign <= 0; value = addNumeric(value, by))
    yield [value];
}

function* moments(
  [start, stop, step]: readonly Datum[],
  add: (value: bigint, by: IntervalValue) => bigint,
): Iterable<SetRow> {
  const by = step as IntervalValue;
  const span = intervalSpan(by);
  if (span === 0n) throw zeroStep();
  for (
    let value = start as bigint;
    span > 0n ? value <= (stop as bigint) : value >= (stop as bigint);
    value = add(value, by)
  )
    yield [value];
}

function* subscripts(array: ArrayValue, dimension: number, reverse: boolean): Iterable<SetRow> {
  const own = array.dimensions[dimension - 1];
  if (own === undefined) return;
  for (let i = 0; i < own.length; i++)
    yield [reverse ? own.lower + own.length - 1 - i : own.lower + i];
}

function series(type: SqlType, rows: SetSignature['rows']): SetSignature[] {
  return [
    setFunction('generate_series', [type, type], type, rows),
    setFunction('generate_series', [type, type, type], type, rows),
  ];
}

/** Lives in information_schema. */
export const expandArray: string = '_pg_expandarray';

/** Channels of LISTEN. */
const listeningChannels: SetSignature = setFunction(
  'pg_listening_channels',
  [],
  textType,
  (_values, context) =>
    catalogOf(context)
      .backend.notifications.listening()
      .map((name) => [name]),
);

export const coreSetFunctions: readonly SetSignature[] = [
  listeningChannels,
  ...series(int4Type, integers),
  ...series(int8Type, bigints),
  ...series(numericType, numerics),
  setFunction(
    'generate_series',
    [timestampType, timestampType, intervalType],
    timestampType,
    (values) => moments(values, addToTimestamp),
  ),
  setFunction(
    'generate_series',
    [timestamptzType, timestamptzType, intervalType],
    timestamptzType,
    (values, { zone }) => moments(values, (value, by) => addToTimestampTz(value, by, zone)),
  ),
  setFunction('unnest', [anyarrayType], anyelementType, function* ([array]) {
    for (const one of (array as ArrayValue).elements) yield [one];
  }),
  {
    name: expandArray,
    parameters: [anyarrayType],
    columns: [
      { name: 'x', type: anyelementType },
      { name: 'n', type: int4Type },
    ],
    strict: true,
    *rows([array]) {
      let n = 0;
      for (const one of (array as ArrayValue).elements) yield [one, ++n];
    },
  },
  // There are no partitioned tables: a table that is none has no ancestors.
  setFunction('pg_partition_ancestors', [regclassType], regclassType, () => []),
  setFunction('generate_subscripts', [anyarrayType, int4Type], int4Type, ([array, dimension]) =>
    subscripts(array as ArrayValue, dimension as number, false),
  ),
  setFunction(
    'generate_subscripts',
    [anyarrayType, int4Type, boolType],
    int4Type,
    ([array, dimension, reverse]) =>
      subscripts(array as ArrayValue, dimension as number, reverse === true),
  ),
  setFunction('string_to_table', [textType, textType], textType, function* ([text, delimiter]) {
    const [whole, mark] = [text as string, delimiter as string];
    if (whole === '') return;
    for (const part of mark === '' ? [whole] : whole.split(mark)) yield [part];
  }),
];
