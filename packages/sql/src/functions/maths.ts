/** Numeric functions over PostgreSQL's integer, float and numeric types. */
import {
  absoluteNumeric,
  ceilNumeric,
  floorNumeric,
  remainderNumeric,
  roundNumeric,
  signNumeric,
  truncateNumeric,
} from '../types/numeric.ts';
import {
  float8Type,
  int2Type,
  int4Type,
  int8Type,
  macaddrType,
  numericType,
  type SqlType,
} from '../types/type.ts';
import * as arithmetic from './arithmetic.ts';
import { powerNumeric } from './numeric-powers.ts';
import { type Signature, signature, unsupportedSignature } from './signature.ts';

function float(name: string, operate: (a: number) => number): Signature {
  return signature(name, [float8Type], float8Type, (a) => operate(a as number));
}

function numeric(name: string, operate: (a: string) => string): Signature {
  return signature(name, [numericType], numericType, (a) => operate(a as string));
}

function absolutes(): Signature[] {
  const small = (type: SqlType) =>
    signature('abs', [type], type, (a) => arithmetic.checkSmall(type, Math.abs(a as number)));
  return [
    small(int2Type),
    small(int4Type),
    signature('abs', [int8Type], int8Type, (a) =>
      arithmetic.checkBig((a as bigint) < 0n ? -(a as bigint) : (a as bigint)),
    ),
    float('abs', Math.abs),
    numeric('abs', absoluteNumeric),
  ];
}

function roundings(): Signature[] {
  const both = (
    name: string,
    onFloat: (a: number) => number,
    onNumeric: (a: string) => string,
  ): Signature[] => [float(name, onFloat), numeric(name, onNumeric)];
  return [
    ...both('round', arithmetic.roundHalfEven, (a) => roundNumeric(a, 0)),
    signature('round', [numericType, int4Type], numericType, (a, b) =>
      roundNumeric(a as string, b as number),
    ),
    ...both('trunc', Math.trunc, (a) => truncateNumeric(a, 0)),
    signature('trunc', [numericType, int4Type], numericType, (a, b) =>
      truncateNumeric(a as string, b as number),
    ),
    unsupportedSignature('trunc', [macaddrType], macaddrType),
    ...both('floor', Math.floor, floorNumeric),
    ...both('ceil', Math.ceil, ceilNumeric),
    ...both('ceiling', Math.ceil, ceilNumeric),
    ...both('sign', (a) => (a > 0 ? 1 : a < 0 ? -1 : 0), signNumeric),
  ];
}

function remainders(): Signature[] {
  const small = (type: SqlType) =>
    signature('mod', [type, type], type, (a, b) =>
      arithmetic.remainderSmall(a as number, b as number),
    );
  return [
    small(int2Type),
    small(int4Type),
    signature('mod', [int8Type, int8Type], int8Type, (a, b) =>
      arithmetic.remainderBig(a as bigint, b as bigint),
    ),
    signature('mod', [numericType, numericType], numericType, (a, b) =>
      remainderNumeric(a as string, b as string),
    ),
  ];
}

export const mathsFunctions: readonly Signature[] = [
  ...absolutes(),
  ...roundings(),
  ...remainders(),
  float('sqrt', arithmetic.squareRoot),
  ...['power', 'pow'].flatMap((name) => [
    signature(name, [float8Type, float8Type], float8Type, (a, b) =>
      arithmetic.powerFloat(a as number, b as number),
    ),
    signature(name, [numericType, numericType], numericType, (a, b) =>
      powerNumeric(a as string, b as string),
    ),
  ]),
  signature('pi', [], float8Type, () => Math.PI),
];
