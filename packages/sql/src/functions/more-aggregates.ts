/** Aggregates that collect (arrays, JSON), over bits, over intervals, and the statistical ones. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from '../types/codec.ts';
import { quoteJson } from '../types/json.ts';
import {
  addNumeric,
  compareNumeric,
  divideNumeric,
  multiplyNumeric,
  quotientScale,
  sqrtNumeric,
  subtractNumeric,
} from '../types/numeric.ts';
import {
  anyarrayType,
  anyelementType,
  anynonarrayType,
  anyType,
  byteaType,
  float4Type,
  float8Type,
  int2Type,
  int4Type,
  int8Type,
  intervalType,
  jsonbType,
  jsonType,
  numericType,
  recordType,
  type SqlType,
  textType,
} from '../types/type.ts';
import { ArrayValue, type IntervalValue } from '../types/values.ts';
import type { Accumulator, AggregateSignature } from './aggregates.ts';
import { nestArrays } from './array-values.ts';
import { addIntervals, divideInterval } from './datetime.ts';
import { jsonDatum, jsonKey, jsonWriter } from './json-build.ts';

class Collected implements Accumulator {
  private readonly values: Datum[] = [];
  private readonly nested: boolean;

  constructor(nested: boolean) {
    this.nested = nested;
  }

  add(value: Datum): void {
    if (this.nested && value === null) throw new SqlError('22004', 'cannot accumulate null arrays');
    if (this.nested && (value as ArrayValue).elements.length === 0)
      throw new SqlError('2202E', 'cannot accumulate empty arrays');
    if (this.nested && !sameShape(value as ArrayValue, (this.values[0] ?? value) as ArrayValue))
      throw new SqlError('2202E', 'cannot accumulate arrays of different dimensionality');
    this.values.push(value);
  }

  result(): Datum {
    if (this.values.length === 0) return null;
    // A copy: a window's frame may grow on.
    return this.nested ? nestArrays(this.values) : new ArrayValue([...this.values]);
  }
}

function sameShape({ dimensions: a }: ArrayValue, { dimensions: b }: ArrayValue): boolean {
  return a.length === b.length && a.every((one, i) => one.length === b[i]?.length);
}

class JsonList implements Accumulator {
  private readonly parts: string[] = [];
  private readonly write: ReturnType<typeof jsonWriter>;
  private readonly binary: boolean;
  private readonly structured: boolean;

  constructor(type: SqlType, binary: boolean) {
    this.write = jsonWriter(type);
    this.binary = binary;
    this.structured = type === recordType || type.element !== undefined;
  }

  add(value: Datum, _second: Datum, context: TextContext): void {
    // Arrays and rows stand on lines of their own, but for the first.
    const line = this.structured && value !== null && this.parts.length > 0 ? '\n ' : '';
    this.parts.push(`${line}${this.write(value, context)}`);
  }

  result(): Datum {
    return this.parts.length === 0 ? null : jsonDatum(`[${this.parts.join(', ')}]`, this.binary);
  }
}

class JsonMembers implements Accumulator {
  private readonly parts: string[] = [];
  private readonly keyType: SqlType;
  private readonly write: ReturnType<typeof jsonWriter>;
  private readonly binary: boolean;

  constructor([keyType = textType, type = textType]: readonly SqlType[], binary: boolean) {
    this.keyType = keyType;
    this.write = jsonWriter(type);
    this.binary = binary;
  }

  add(key: Datum, value: Datum, context: TextContext): void {
    if (key === null) throw new SqlError('22023', 'field name must not be null');
    const text = quoteJson(jsonKey(key, this.keyType, context));
    this.parts.push(`${text} : ${this.write(value, context)}`);
  }

  result(): Datum {
    return this.parts.length === 0 ? null : jsonDatum(`{ ${this.parts.join(', ')} }`, this.binary);
  }
}

class BitFold implements Accumulator {
  private value: bigint | undefined;
  private readonly fold: (a: bigint, b: bigint) => bigint;
  private readonly wide: boolean;

  constructor(fold: (a: bigint, b: bigint) => bigint, wide: boolean) {
    this.value = undefined;
    this.fold = fold;
    this.wide = wide;
  }

  add(value: Datum): void {
    const next = BigInt(value as bigint);
    this.value = this.value === undefined ? next : this.fold(this.value, next);
  }

  result(): Datum {
    if (this.value === undefined) return null;
    return this.wide ? this.value : Number(this.value);
  }
}

class IntervalSum implements Accumulator {
  private sum: IntervalValue | null = null;
  private count = 0;
  private readonly average: boolean;

  constructor(average: boolean) {
    this.average = average;
  }

  add(value: Datum): void {
    this.count++;
    this.sum =
      this.sum === null ? (value as IntervalValue) : addIntervals(this.sum, value as IntervalValue);
  }

  result(): Datum {
    if (this.sum === null || !this.average) return this.sum;
    return divideInterval(this.sum, this.count);
  }
}

interface Spread {
  /** Over n − 1 instead of n. */
  readonly sample: boolean;
  /** Its square root. */
  readonly root: boolean;
}

/** Variance over decimals, exact until the last division. */
class NumericSpread implements Accumulator {
  private count = 0;
  private sum = '0';
  private squares = '0';
  private special = false;
  private readonly how: Spread;

  constructor(how: Spread) {
    this.how = how;
  }

  add(value: Datum): void {
    const text = String(value);
    this.count++;
    if (!/\d/.test(text)) {
      this.special = true;
      return;
    }
    this.sum = addNumeric(this.sum, text);
    this.squares = addNumeric(this.squares, multiplyNumeric(text, text));
  }

  result(): Datum {
    const { sample, root } = this.how;
    if (this.count === 0 || (sample && this.count < 2)) return null;
    if (this.special) return 'NaN';
    const n = String(this.count);
    const numerator = subtractNumeric(
      multiplyNumeric(n, this.squares),
      multiplyNumeric(this.sum, this.sum),
    );
    if (compareNumeric(numerator, '0') <= 0) return '0';
    const denominator = multiplyNumeric(n, sample ? String(this.count - 1) : n);
    const variance = divideNumeric(numerator, denominator);
    return root ? sqrtNumeric(variance, quotientScale(numerator, denominator)) : variance;
  }
}

/** Variance and covariance over floats, by Youngs and Cramer. */
class FloatSpread implements Accumulator {
  private count = 0;
  private sumX = 0;
  private sumY = 0;
  private xx = 0;
  private yy = 0;
  private xy = 0;
  private readonly finish: (state: Moments) => number | null;

  constructor(finish: (state: Moments) => number | null) {
    this.finish = finish;
  }

  /** Regression functions take the dependent value first. */
  add(y: Datum, x: Datum): void {
    const [a, b] = [y as number, (x ?? y) as number];
    this.count++;
    this.sumY += a;
    this.sumX += b;
    if (this.count === 1) {
      if (!Number.isFinite(b)) this.xx = this.xy = Number.NaN;
      if (!Number.isFinite(a)) this.yy = this.xy = Number.NaN;
      return;
    }
    const [dx, dy] = [b * this.count - this.sumX, a * this.count - this.sumY];
    const scale = 1 / (this.count * (this.count - 1));
    this.xx += dx * dx * scale;
    this.yy += dy * dy * scale;
    this.xy += dx * dy * scale;
    if ([this.xx, this.yy, this.xy].includes(Infinity) && Number.isFinite(a) && Number.isFinite(b))
      throw new SqlError('22003', 'value out of range: overflow');
  }

  result(): Datum {
    return this.finish(this);
  }

  get n(): number {
    return this.count;
  }

  get sx(): number {
    return this.sumX;
  }

  get sy(): number {
    return this.sumY;
  }

  get sxx(): number {
    return this.xx;
  }

  get syy(): number {
    return this.yy;
  }

  get sxy(): number {
    return this.xy;
  }
}

interface Moments {
  readonly n: number;
  readonly sx: number;
  readonly sy: number;
  readonly sxx: number;
  readonly syy: number;
  readonly sxy: number;
}

class ByteConcatenation implements Accumulator {
  private readonly parts: Uint8Array[] = [];

  add(value: Datum, separator: Datum): void {
    if (this.parts.length > 0 && separator !== null) this.parts.push(separator as Uint8Array);
    this.parts.push(value as Uint8Array);
  }

  result(): Datum {
    return this.parts.length === 0
      ? null
      : Uint8Array.prototype.slice.call(Buffer.concat(this.parts));
  }
}

type Create = AggregateSignature['create'];

function define(
  name: string,
  parameters: readonly SqlType[],
  result: SqlType,
  create: Create,
  flags: Partial<AggregateSignature> = {},
): AggregateSignature {
  return { name, parameters, result, create, ...flags };
}

const collects = { ordered: true, keepsNulls: true } as const;

function spreads(): AggregateSignature[] {
  const names: Readonly<Record<string, Spread>> = {
    stddev: { sample: true, root: true },
    stddev_samp: { sample: true, root: true },
    stddev_pop: { sample: false, root: true },
    variance: { sample: true, root: false },
    var_samp: { sample: true, root: false },
    var_pop: { sample: false, root: false },
  };
  return Object.entries(names).flatMap(([name, how]) => {
    const finish = ({ n, sxx }: Moments) => {
      if (n === 0 || (how.sample && n < 2)) return null;
      const variance = sxx / (how.sample ? n - 1 : n);
      return how.root ? Math.sqrt(variance) : variance;
    };
    return [
      ...[int2Type, int4Type, int8Type, numericType].map((type) =>
        define(name, [type], numericType, () => new NumericSpread(how)),
      ),
      ...[float4Type, float8Type].map((type) =>
        define(name, [type], float8Type, () => new FloatSpread(finish)),
      ),
    ];
  });
}

function regressions(): AggregateSignature[] {
  const functions: Readonly<Record<string, (state: Moments) => number | null>> = {
    covar_pop: ({ n, sxy }) => (n < 1 ? null : sxy / n),
    covar_samp: ({ n, sxy }) => (n < 2 ? null : sxy / (n - 1)),
    corr: ({ n, sxx, syy, sxy }) =>
      n < 1 || sxx === 0 || syy === 0 ? null : sxy / Math.sqrt(sxx * syy),
    regr_avgx: ({ n, sx }) => (n < 1 ? null : sx / n),
    regr_avgy: ({ n, sy }) => (n < 1 ? null : sy / n),
    regr_sxx: ({ n, sxx }) => (n < 1 ? null : sxx),
    regr_syy: ({ n, syy }) => (n < 1 ? null : syy),
    regr_sxy: ({ n, sxy }) => (n < 1 ? null : sxy),
    regr_slope: ({ n, sxx, sxy }) => (n < 1 || sxx === 0 ? null : sxy / sxx),
    regr_intercept: ({ n, sx, sy, sxx, sxy }) =>
      n < 1 || sxx === 0 ? null : (sy - (sx * sxy) / sxx) / n,
    regr_r2: ({ n, sxx, syy, sxy }) => {
      if (n < 1 || sxx === 0) return null;
      return syy === 0 ? 1 : (sxy * sxy) / (sxx * syy);
    },
  };
  return [
    ...Object.entries(functions).map(([name, finish]) =>
      define(name, [float8Type, float8Type], float8Type, () => new FloatSpread(finish), {
        strictPairs: true,
      }),
    ),
    define('regr_count', [float8Type, float8Type], int8Type, () => new PairCount(), {
      strictPairs: true,
    }),
  ];
}

class PairCount implements Accumulator {
  private count = 0n;

  add(): void {
    this.count++;
  }

  result(): Datum {
    return this.count;
  }
}

function bits(): AggregateSignature[] {
  const folds: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
    bit_and: (a, b) => a & b,
    bit_or: (a, b) => a | b,
    bit_xor: (a, b) => a ^ b,
  };
  return Object.entries(folds).flatMap(([name, fold]) =>
    [int2Type, int4Type, int8Type].map((type) =>
      define(name, [type], type, () => new BitFold(fold, type === int8Type)),
    ),
  );
}

function json(prefix: 'json' | 'jsonb', type: SqlType): AggregateSignature[] {
  const binary = type === jsonbType;
  return [
    define(
      `${prefix}_agg`,
      [anyelementType],
      type,
      (types) => new JsonList(types[0] ?? textType, binary),
      collects,
    ),
    define(
      `${prefix}_object_agg`,
      [anyType, anyType],
      type,
      (types) => new JsonMembers(types, binary),
      collects,
    ),
  ];
}

export const moreAggregates: readonly AggregateSignature[] = [
  define('array_agg', [anynonarrayType], anyarrayType, () => new Collected(false), collects),
  define('array_agg', [anyarrayType], anyarrayType, () => new Collected(true), collects),
  ...json('json', jsonType),
  ...json('jsonb', jsonbType),
  ...bits(),
  ...spreads(),
  ...regressions(),
  define('sum', [intervalType], intervalType, () => new IntervalSum(false)),
  define('avg', [intervalType], intervalType, () => new IntervalSum(true)),
  define('string_agg', [byteaType, byteaType], byteaType, () => new ByteConcatenation(), {
    ordered: true,
  }),
];
