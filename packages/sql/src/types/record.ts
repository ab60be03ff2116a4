/** Anonymous rows as values: text and binary output, and order field by field. Input needs types, so there is none. */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { TextContext, TypeCodec } from './codec.ts';
import type { SqlType } from './type.ts';
import type { RecordValue } from './values.ts';

function noInput(): never {
  throw new SqlError('0A000', 'input of anonymous composite types is not implemented');
}

function quoteField(text: string): string {
  return text !== '' && !/[\s(),"\\]/.test(text) ? text : `"${text.replace(/["\\]/g, '$&$&')}"`;
}

function typesOf(value: RecordValue): readonly SqlType[] {
  return value.types as readonly SqlType[];
}

function formatRecord(value: RecordValue, context: TextContext): string {
  const types = typesOf(value);
  const fields = value.values.map((one, i) =>
    one === null ? '' : quoteField(types[i]?.codec?.format(one, context) ?? ''),
  );
  return `(${fields.join(',')})`;
}

function sendRecord(value: RecordValue, context: TextContext): Buffer {
  const types = typesOf(value);
  const word = (n: number) => {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeInt32BE(n);
    return bytes;
  };
  const parts: Uint8Array[] = [word(value.values.length)];
  value.values.forEach((one, i) => {
    const type = types[i];
    parts.push(word((type?.oid ?? 0) | 0));
    const bytes = one === null ? undefined : type?.codec?.send(one, context);
    parts.push(word(bytes === undefined ? -1 : bytes.length));
    if (bytes !== undefined) parts.push(bytes);
  });
  return Buffer.concat(parts);
}

/** Throws 42804, 42883. */
function compareRecords(a: Datum, b: Datum): number {
  const [x, y] = [a as RecordValue, b as RecordValue];
  const length = Math.min(x.values.length, y.values.length);
  for (let i = 0; i < length; i++) {
    const [left, right] = [typesOf(x)[i], typesOf(y)[i]];
    if (left !== right)
      throw new SqlError(
        '42804',
        `cannot compare dissimilar column types ${left?.display} and ${right?.display} at record column ${i + 1}`,
      );
    const compare = left?.codec?.compare;
    if (compare === undefined)
      throw new SqlError(
        '42883',
        `could not identify a comparison function for type ${left?.display}`,
      );
    const [p = null, q = null] = [x.values[i], y.values[i]];
    if (p === null || q === null) {
      if (p === q) continue;
      return p === null ? 1 : -1;
    }
    const order = compare(p, q);
    if (order !== 0) return order;
  }
  if (x.values.length !== y.values.length)
    throw new SqlError('42804', 'cannot compare record types with different numbers of columns');
  return 0;
}

export const recordCodec: TypeCodec = {
  parse: noInput,
  format: (value, context) => formatRecord(value as RecordValue, context),
  receive: noInput,
  send: (value, context) => sendRecord(value as RecordValue, context),
  compare: compareRecords,
  identical: false,
  hash: (value) => {
    const record = value as RecordValue;
    return record.values
      .map((one, i) => {
        if (one === null) return '~';
        const text = typesOf(record)[i]?.codec?.hash?.(one) ?? String(one);
        return `${text.length}:${text}`;
      })
      .join('');
  },
  key: undefined,
  row: undefined,
  sessionText: true,
};
