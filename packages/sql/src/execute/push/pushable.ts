/**
 * Which types and functions a program may name, and how. A store finds them by these names among its own, which are the
 * same code: what it has not, or what means something else there, it refuses. Nothing here depends on a session.
 */
import { operators } from '../../functions/operators.ts';
import { scalarFunctions } from '../../functions/scalar.ts';
import type { Signature } from '../../functions/signature.ts';
import type { Datum } from '../../session-api.ts';
import { RowCodec } from '../../storage/row-codec.ts';
import type { RowForm } from '../../types/codec.ts';
import {
  boolType,
  bpcharType,
  byteaType,
  dateType,
  float4Type,
  float8Type,
  int2Type,
  int4Type,
  int8Type,
  intervalType,
  jsonbType,
  nameType,
  numericType,
  oidType,
  type SqlType,
  textType,
  timestampType,
  timestamptzType,
  timeType,
  timetzType,
  uuidType,
  varcharType,
} from '../../types/type.ts';

const types: ReadonlyMap<number, SqlType> = new Map(
  [
    boolType,
    int2Type,
    int4Type,
    int8Type,
    float4Type,
    float8Type,
    numericType,
    oidType,
    textType,
    varcharType,
    bpcharType,
    nameType,
    byteaType,
    uuidType,
    dateType,
    timeType,
    timetzType,
    timestampType,
    timestamptzType,
    intervalType,
    jsonbType,
  ].map((type) => [type.oid, type]),
);

export function isPushableType(type: SqlType): boolean {
  return types.get(type.oid) === type;
}

/** Undefined: not one that programs may name. */
export function pushableType(oid: number): SqlType | undefined {
  return types.get(oid);
}

export function rowFormOf(type: SqlType): RowForm {
  const form = type.codec?.row;
  if (form === undefined) throw new RangeError(`${type.display} is stored`);
  return form;
}

/** Of bytes that are handed on as they are. */
export const bytesForm: RowForm = {
  encode: (value) => value as Uint8Array,
  decode: (bytes) => bytes,
};

/** Of values without keys: those of a program, and those of its results. */
export function valuesCodec(forms: readonly RowForm[]): RowCodec {
  return new RowCodec(forms.map((form, index) => ({ index, form, missing: null })));
}

/** A value as text in JSON: no form loses anything that the row's own has. */
export function textOfDatum(type: SqlType, value: Datum): string {
  return Buffer.from(valuesCodec([rowFormOf(type)]).encode([value])).toString('base64');
}

export function datumOfText(type: SqlType, text: string): Datum {
  const row: Datum[] = [null];
  valuesCodec([rowFormOf(type)]).decodeInto(row, Buffer.from(text, 'base64'), [true]);
  return row[0] ?? null;
}

const byName = new Map<string, Signature>();
const names = new Map<Signature, string>();

for (const [kind, all] of [
  ['operator', operators],
  ['function', scalarFunctions],
] as const)
  for (const overloads of all.values())
    for (const one of overloads) {
      if (one.volatility !== 'immutable' || one.unsupported === true) continue;
      const name = `${kind} ${one.name}(${one.parameters.map(({ oid }) => oid).join()})`;
      if (byName.has(name)) continue;
      byName.set(name, one);
      names.set(one, name);
    }

/** Undefined: a function that programs may not call. */
export function nameOfSignature(signature: Signature): string | undefined {
  return names.get(signature);
}

export function signatureOfName(name: string): Signature | undefined {
  return byName.get(name);
}
