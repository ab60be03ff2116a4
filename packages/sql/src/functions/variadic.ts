/**
 * Functions called with VARIADIC: the last argument is an array, and its elements are the arguments. Whoever binds such a
 * call asks here for the function as it is then.
 */
import { stringCharactersMax } from '../limits.ts';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from '../types/codec.ts';
import { formatText } from '../types/text-codec.ts';
import { anyType, arrayTypeOf, type SqlType, textType } from '../types/type.ts';
import type { ArrayValue } from '../types/values.ts';
import {
  type CallTypes,
  type GeneralImplementation,
  indexByName,
  type Signature,
  typedSignature,
} from './signature.ts';

/** Of `format` a missing array is one without elements; other functions give NULL then. */
const takesMissingArray = 'format';

/**
 * A variadic function that takes an array in the place of its last parameter.
 * @param array the type of the argument, for functions that take any
 * @returns undefined where the elements are of a type that has no arrays
 */
export function spreadSignature(signature: Signature, array: SqlType): Signature | undefined {
  const fixed = signature.parameters.slice(0, -1);
  const last = signature.parameters[fixed.length] ?? anyType;
  const parameter = last === anyType ? array : arrayTypeOf(last);
  const { general } = signature;
  if (parameter === undefined || general === undefined) return undefined;
  const spread = ({ parameters, result }: CallTypes): GeneralImplementation => {
    const types = parameters.slice(0, fixed.length);
    const element = parameters[fixed.length]?.element ?? textType;
    /** For the last number of elements: it is the same for row after row, mostly. */
    let known: { readonly count: number; readonly run: GeneralImplementation } | undefined;
    return (values, context) => {
      const given = values[fixed.length] ?? null;
      if (given === null && signature.name !== takesMissingArray) return null;
      const elements = given === null ? [] : (given as ArrayValue).elements;
      if (known?.count !== elements.length) {
        const all = [...types, ...elements.map(() => element)];
        known = { count: elements.length, run: general({ parameters: all, result }) };
      }
      return known.run([...values.slice(0, fixed.length), ...elements], context);
    };
  };
  return typedSignature(signature.name, [...fixed, parameter], signature.result, spread, {
    strict: signature.strict,
    volatility: signature.volatility,
  });
}

function joined(
  separator: Datum,
  values: readonly Datum[],
  types: readonly SqlType[],
  context: TextContext,
): Datum {
  if (separator === null) return null;
  const texts: string[] = [];
  let length = 0;
  values.forEach((value, i) => {
    if (value === null) return;
    const text = formatText(types[i] ?? textType, value, context);
    length += text.length;
    if (length > stringCharactersMax) throw new SqlError('54000', 'concat result is too long');
    texts.push(text);
  });
  return texts.join(separator as string);
}

const options = { strict: false, volatility: 'stable', variadic: true } as const;

/** Without VARIADIC these are an expression of their own. */
export const concatSignatures: ReadonlyMap<string, readonly Signature[]> = indexByName([
  typedSignature(
    'concat',
    [anyType],
    textType,
    ({ parameters }) =>
      (values, context) =>
        joined('', values, parameters, context),
    options,
  ),
  typedSignature(
    'concat_ws',
    [textType, anyType],
    textType,
    ({ parameters }) =>
      ([separator = null, ...values], context) =>
        joined(separator, values, parameters.slice(1), context),
    options,
  ),
]);
