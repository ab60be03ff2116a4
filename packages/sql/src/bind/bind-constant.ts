/** Literals. */
import type { A_Const } from 'libpg-query';
import { parseNumeric } from '../types/numeric.ts';
import { boolType, int4Type, int8Type, numericType, unknownType } from '../types/type.ts';
import type { BindContext } from './context.ts';
import { constant, type Expression } from './expression.ts';

export function bindConstant(context: BindContext, node: A_Const): Expression {
  const { location } = node;
  if (node.isnull === true) return constant(unknownType, null, location);
  if (node.ival !== undefined) return constant(int4Type, node.ival.ival ?? 0, location);
  if (node.sval !== undefined) return constant(unknownType, node.sval.sval ?? '', location);
  if (node.boolval !== undefined)
    return constant(boolType, node.boolval.boolval ?? false, location);
  if (node.fval !== undefined) return bindNumber(node.fval.fval ?? '0', location);
  throw context.unsupported('bit string', location);
}

/** Integers beyond int4 and decimals; the grammar has already checked the form. */
function bindNumber(written: string, location: number | undefined): Expression {
  const text = written.replaceAll('_', '');
  if (/^-?(?:\d+|0[xob][0-9a-f]+)$/i.test(text)) {
    const negative = text.startsWith('-');
    const magnitude = BigInt(negative ? text.slice(1) : text);
    const value = negative ? -magnitude : magnitude;
    if (BigInt.asIntN(32, value) === value) return constant(int4Type, Number(value), location);
    if (BigInt.asIntN(64, value) === value) return constant(int8Type, value, location);
    return constant(numericType, value.toString(), location);
  }
  return constant(numericType, parseNumeric(text), location);
}
