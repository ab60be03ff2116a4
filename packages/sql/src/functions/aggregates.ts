/** Aggregate functions. NULLs never reach an accumulator; `count(*)` is the executor's own. */
import { stringCharactersMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { narrowFloat } from '../types/cast.ts';
import type { TextContext } from '../types/codec.ts';
import { type Comparator, comparatorOf } from '../types/compare.ts';
import { addNumeric, divideNumeric } from '../types/numeric.ts';
import {
  anyarrayType,
  anyelementType,
  anyenumType,
  anyType,
  arrayTypeOf,
  boolType,
  bpcharType,
  dateType,
  float4Type,
  float8Type,
  int2Type,
  int4Type,
  int8Type,
  intervalType,
  numericType,
  oidType,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
} from '../types/type.ts';
import { ArrayValue } from '../types/values.ts';
import { addFloat, checkBig } from './arithmetic.ts';
import { moreAggregates } from './more-aggregates.ts';

export interface Accumulator {
  /** @param second the second argument, for those that take two */
  add(value: Datum, second: Datum, context: TextContext): void;
  result(): Datum;
  /** What another accumulator needs to know of what was added here: values of the types that `AggregateSignature.partial`
   *  says. Absent with it. */
  partial?(): readonly Datum[];
  /** Takes in what was added elsewhere, behind what was added here. @param at where it begins in `values` */
  merge?(values: readonly Datum[], at: number): void;
}

export interface AggregateSignature {
  readonly name: string;
  readonly parameters: readonly SqlType[];
  readonly result: SqlType;
  /** @param types of the arguments */
  create(types: readonly SqlType[]): Accumulator;
  /** NULLs reach the accumulator, too. */
  readonly keepsNulls?: true;
  /** Rows with a NULL in either argument are left out. */
  readonly strictPairs?: true;
  /** The result depends on the order of the input: DISTINCT sorts it. */
  readonly ordered?: true;
  /** An ordered-set aggregate: from the sorted values and the direct arguments. */
  readonly orderedSet?: (
    sorted: readonly Datum[],
    direct: Datum,
    /** Whether a value is equal to the one before it. */
    repeats: (index: number) => boolean,
  ) => Datum;
  /** PostgreSQL has it and we have not: it takes part in resolution and is refused if it wins. */
  readonly unsupported?: true;
  /** Parts of the input may be added up apart, with exactly the same result: the types of what is then handed on. Undefined:
   *  not so, as for sums of floats, which depend on the order. */
  readonly partial?: (types: readonly SqlType[]) => readonly SqlType[];
}

class Count implements Accumulator {
  private count = 0;

  add(): void {
    this.count++;
  }

  partial(): readonly Datum[] {
    return [BigInt(this.count)];
  }

  merge(values: readonly Datum[], at: number): void {
    this.count += Number(values[at]);
  }

  result(): Datum {
    return BigInt(this.count);
  }
}

const flushAbove = 2 ** 52;

/** Sums integers of any width without loss: small ones in a number that is emptied into a bigint in time. */
class IntegerSum {
  count = 0;
  private small = 0;
  private total = 0n;

  add(value: Datum): void {
    this.count++;
    if (typeof value === 'bigint') {
      this.total += value;
      return;
    }
    this.small += value as number;
    if (Math.abs(this.small) > flushAbove) {
      this.total += BigInt(this.small);
      this.small = 0;
    }
  }

  sum(): bigint {
    return this.total + BigInt(this.small);
  }

  partial(): readonly Datum[] {
    return [BigInt(this.count), this.sum().toString()];
  }

  merge(values: readonly Datum[], at: number): void {
    this.count += Number(values[at]);
    this.total += BigInt(values[at + 1] as string);
  }
}

class SumToBigint extends IntegerSum implements Accumulator {
  result(): Datum {
    return this.count === 0 ? null : checkBig(this.sum());
  }
}

class SumToNumeric extends IntegerSum implements Accumulator {
  result(): Datum {
    return this.count === 0 ? null : this.sum().toString();
  }
}

class IntegerAverage extends IntegerSum implements Accumulator {
  result(): Datum {
    return this.count === 0 ? null : divideNumeric(this.sum().toString(), String(this.count));
  }
}

class FloatSum implements Accumulator {
  private sum: number | null = null;
  private readonly round: ((value: number) => number) | undefined;

  constructor(round?: (value: number) => number) {
    this.round = round;
  }

  add(value: Datum): void {
    this.sum = this.sum === null ? (value as number) : addFloat(this.sum, value as number);
    if (this.round !== undefined) this.sum = this.round(this.sum);
  }

  result(): Datum {
    return this.sum;
  }
}

/** Also sums squared deviations, as PostgreSQL's transition does, because it fails when those overflow. */
class FloatAverage implements Accumulator {
  private count = 0;
  private sum = 0;
  private squares = 0;

  add(value: Datum): void {
    const next = value as number;
    const before = this.sum;
    this.count++;
    this.sum += next;
    if (this.count === 1) {
      if (!Number.isFinite(next)) this.squares = Number.NaN;
      return;
    }
    const deviation = next * this.count - this.sum;
    this.squares += (deviation * deviation) / (this.count * (this.count - 1));
    if (!isInfinite(this.sum) && !isInfinite(this.squares)) return;
    if (!isInfinite(before) && !isInfinite(next))
      throw new SqlError('22003', 'value out of range: overflow');
    this.squares = Number.NaN;
  }

  result(): Datum {
    return this.count === 0 ? null : this.sum / this.count;
  }
}

function isInfinite(value: number): boolean {
  return value === Infinity || value === -Infinity;
}

class NumericSum implements Accumulator {
  protected count = 0;
  protected sum = '0';

  add(value: Datum): void {
    this.count++;
    this.sum = addNumeric(this.sum, value as string);
  }

  partial(): readonly Datum[] {
    return [BigInt(this.count), this.sum];
  }

  merge(values: readonly Datum[], at: number): void {
    this.count += Number(values[at]);
    this.sum = addNumeric(this.sum, values[at + 1] as string);
  }

  result(): Datum {
    return this.count === 0 ? null : this.sum;
  }
}

class NumericAverage extends NumericSum {
  override result(): Datum {
    return this.count === 0 ? null : divideNumeric(this.sum, String(this.count));
  }
}

class Extreme implements Accumulator {
  private value: Datum = null;
  private readonly compare: Comparator;
  private readonly direction: number;

  constructor(type: SqlType, direction: 1 | -1) {
    this.compare = comparatorOf(type);
    this.direction = direction;
  }

  add(value: Datum): void {
    if (this.value === null || this.compare(value, this.value) * this.direction > 0)
      this.value = value;
  }

  result(): Datum {
    return this.value;
  }

  partial(): readonly Datum[] {
    return [this.value];
  }

  merge(values: readonly Datum[], at: number): void {
    const value = values[at] ?? null;
    if (value !== null) this.add(value);
  }
}

class BooleanFold implements Accumulator {
  private value: boolean | null = null;
  private readonly all: boolean;

  constructor(all: boolean) {
    this.all = all;
  }

  add(value: Datum): void {
    const next = value === true;
    if (this.value === null) this.value = next;
    else this.value = this.all ? this.value && next : this.value || next;
  }

  result(): Datum {
    return this.value;
  }

  partial(): readonly Datum[] {
    return [this.value];
  }

  merge(values: readonly Datum[], at: number): void {
    const value = values[at] ?? null;
    if (value !== null) this.add(value);
  }
}

/** string_agg: each text but the first goes behind its own separator. */
class Concatenation implements Accumulator {
  private readonly parts: string[] = [];
  private length = 0;

  add(value: Datum, separator: Datum): void {
    if (this.parts.length > 0 && separator !== null) this.push(separator as string);
    this.push(value as string);
  }

  result(): Datum {
    return this.parts.length === 0 ? null : this.parts.join('');
  }

  private push(text: string): void {
    this.length += text.length;
    if (this.length > stringCharactersMax)
      throw new SqlError('54000', 'string_agg result is too long');
    this.parts.push(text);
  }
}

const float8Array: SqlType = arrayTypeOf(float8Type) ?? float8Type;

function checkPercentile(fraction: Datum): number | undefined {
  if (fraction === null) return undefined;
  const value = Number(fraction);
  if (value < 0 || value > 1 || Number.isNaN(value))
    throw new SqlError('22003', `percentile value ${value} is not between 0 and 1`);
  return value;
}

/** One percentile for each fraction, in the array's shape. */
function forEachFraction(
  one: (sorted: readonly Datum[], fraction: Datum) => Datum,
): NonNullable<AggregateSignature['orderedSet']> {
  return (sorted, direct) => {
    if (direct === null || sorted.length === 0) return null;
    const { elements, dimensions } = direct as ArrayValue;
    // All are checked before any is computed.
    for (const fraction of elements) checkPercentile(fraction);
    return new ArrayValue(
      elements.map((fraction) => one(sorted, fraction)),
      dimensions,
    );
  };
}

function percentileDiscrete(sorted: readonly Datum[], direct: Datum): Datum {
  const fraction = checkPercentile(direct);
  if (fraction === undefined || sorted.length === 0) return null;
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? null;
}

function percentileContinuous(sorted: readonly Datum[], direct: Datum): Datum {
  const fraction = checkPercentile(direct);
  if (fraction === undefined || sorted.length === 0) return null;
  const place = fraction * (sorted.length - 1);
  const low = Number(sorted[Math.floor(place)]);
  const high = Number(sorted[Math.ceil(place)]);
  // Infinity between two infinities, and -0, are themselves.
  if (Number.isInteger(place)) return low;
  return low + (place - Math.floor(place)) * (high - low);
}

/** The most frequent value, the first of several. */
function mode(
  sorted: readonly Datum[],
  _direct: Datum,
  repeats: (index: number) => boolean,
): Datum {
  let best: Datum = null;
  let most = 0;
  for (let start = 0, i = 0; i < sorted.length; i++) {
    if (i > 0 && !repeats(i)) start = i;
    if (i - start + 1 <= most) continue;
    most = i - start + 1;
    best = sorted[start] ?? null;
  }
  return best;
}

function define(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  create: AggregateSignature['create'],
  partial?: AggregateSignature['partial'],
): AggregateSignature {
  const plain = { name, parameters, result, create };
  return partial === undefined ? plain : { ...plain, partial };
}

const countAlone = (): readonly SqlType[] => [int8Type];
const countAndSum = (): readonly SqlType[] => [int8Type, numericType];
const oneBoolean = (): readonly SqlType[] => [boolType];
const ownValue = (types: readonly SqlType[]): readonly SqlType[] => types.slice(0, 1);

const extremes = [
  int2Type,
  int4Type,
  int8Type,
  float8Type,
  numericType,
  oidType,
  textType,
  timestamptzType,
  float4Type,
  bpcharType,
  dateType,
  timeType,
  timetzType,
  timestampType,
  intervalType,
  anyarrayType,
  anyenumType,
];

const all: readonly AggregateSignature[] = [
  define('count', [anyType], int8Type, () => new Count(), countAlone),
  define('sum', [int2Type], int8Type, () => new SumToBigint(), countAndSum),
  define('sum', [int4Type], int8Type, () => new SumToBigint(), countAndSum),
  define('sum', [int8Type], numericType, () => new SumToNumeric(), countAndSum),
  define('sum', [float8Type], float8Type, () => new FloatSum()),
  define('sum', [float4Type], float4Type, () => new FloatSum(narrowFloat)),
  define('sum', [numericType], numericType, () => new NumericSum(), countAndSum),
  ...[int2Type, int4Type, int8Type].map((type) =>
    define('avg', [type], numericType, () => new IntegerAverage(), countAndSum),
  ),
  define('avg', [float8Type], float8Type, () => new FloatAverage()),
  define('avg', [float4Type], float8Type, () => new FloatAverage()),
  define('avg', [numericType], numericType, () => new NumericAverage(), countAndSum),
  ...extremes.flatMap((type) => [
    define('min', [type], type, ([own = type]) => new Extreme(own, -1), ownValue),
    define('max', [type], type, ([own = type]) => new Extreme(own, 1), ownValue),
  ]),
  define('bool_and', [boolType], boolType, () => new BooleanFold(true), oneBoolean),
  define('every', [boolType], boolType, () => new BooleanFold(true), oneBoolean),
  {
    ...define('string_agg', [textType, textType], textType, () => new Concatenation()),
    ordered: true,
  },
  {
    ...define('percentile_cont', [float8Type, float8Type], float8Type, () => new Count()),
    orderedSet: percentileContinuous,
  },
  {
    ...define('percentile_cont', [float8Array, float8Type], float8Array, () => new Count()),
    orderedSet: forEachFraction(percentileContinuous),
  },
  {
    ...define('percentile_disc', [float8Array, anyelementType], anyarrayType, () => new Count()),
    orderedSet: forEachFraction(percentileDiscrete),
  },
  {
    ...define('percentile_disc', [float8Type, anyType], anyType, () => new Count()),
    orderedSet: percentileDiscrete,
  },
  { ...define('mode', [anyType], anyType, () => new Count()), orderedSet: mode },
  define('bool_or', [boolType], boolType, () => new BooleanFold(false), oneBoolean),
  ...moreAggregates,
];

export const aggregates: ReadonlyMap<string, readonly AggregateSignature[]> = (() => {
  const index = new Map<string, AggregateSignature[]>();
  for (const one of all) {
    const overloads = index.get(one.name);
    if (overloads === undefined) index.set(one.name, [one]);
    else overloads.push(one);
  }
  return index;
})();

/** PostgreSQL's other aggregates, refused by name. */
export const foreignAggregates: ReadonlySet<string> = new Set(['xmlagg', 'range_agg']);
