/** Text input and output of every type, by its codec. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext } from './codec.ts';
import type { SqlType } from './type.ts';

export type { TextContext } from './codec.ts';

/** Reads a value from its text. Throws 22P02, 22003, 22007, 22008, 22023, 0A000. */
export function parseText(
  type: SqlType,
  text: string,
  context: TextContext,
  modifier?: number,
): Datum {
  if (type.codec === undefined)
    throw new SqlError('0A000', `cannot accept a value of type ${type.display}`);
  return type.codec.parse(text, context, type.display, modifier);
}

/** Prints a value that is not NULL. */
export function formatText(type: SqlType, value: Datum, context: TextContext): string {
  if (type.codec === undefined)
    throw new SqlError('0A000', `cannot display a value of type ${type.display}`);
  return type.codec.format(value, context);
}
