/** Keys and values as users give them: bytes as they are, text as UTF-8. */
import { DbError } from '@flotilla/base';

export type BytesLike = Uint8Array | string;

const loneSurrogate = /\p{Surrogate}/u;

/**
 * The bytes themselves, or the text's UTF-8.
 * @throws DbError INVALID_ARGUMENT for half a surrogate pair: UTF-8 would turn different texts into the same bytes
 */
export function toBytes(value: BytesLike, what: string): Uint8Array {
  if (typeof value === 'string') {
    if (loneSurrogate.test(value))
      throw new DbError('INVALID_ARGUMENT', `${what} is not well-formed Unicode text`);
    return Buffer.from(value, 'utf8');
  }
  if (value instanceof Uint8Array) return value;
  throw new DbError('INVALID_ARGUMENT', `${what} is a string or a Uint8Array`);
}
