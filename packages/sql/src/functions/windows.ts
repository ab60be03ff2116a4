/** Window functions proper: what they are called with and what they return. How they are computed: execute/window.ts. */
import { anyType, float8Type, int4Type, int8Type, type SqlType } from '../types/type.ts';

export type WindowFunctionName =
  | 'row_number'
  | 'rank'
  | 'dense_rank'
  | 'percent_rank'
  | 'cume_dist'
  | 'ntile'
  | 'lag'
  | 'lead'
  | 'first_value'
  | 'last_value'
  | 'nth_value';

export interface WindowSignature {
  readonly name: WindowFunctionName;
  /** `anyType`: any type, the same for all such parameters. */
  readonly parameters: readonly SqlType[];
  /** `anyType`: that type. */
  readonly result: SqlType;
}

function define(
  name: WindowFunctionName,
  result: SqlType,
  ...overloads: (readonly SqlType[])[]
): readonly [string, readonly WindowSignature[]] {
  return [name, overloads.map((parameters) => ({ name, parameters, result }))];
}

const shifts = [[anyType], [anyType, int4Type], [anyType, int4Type, anyType]] as const;

export const windowFunctions: ReadonlyMap<string, readonly WindowSignature[]> = new Map([
  define('row_number', int8Type, []),
  define('rank', int8Type, []),
  define('dense_rank', int8Type, []),
  define('percent_rank', float8Type, []),
  define('cume_dist', float8Type, []),
  define('ntile', int4Type, [int4Type]),
  define('lag', anyType, ...shifts),
  define('lead', anyType, ...shifts),
  define('first_value', anyType, [anyType]),
  define('last_value', anyType, [anyType]),
  define('nth_value', anyType, [anyType, int4Type]),
]);
