/** The body of Bind, decoded against the statement that it binds. Pure apart from the session's value codec. */
import { type Datum, type Oid, SqlError } from '@flotilla/sql';
import type { Format } from './backend-messages.ts';
import { decodeUtf8, invalid, type MessageReader } from './message-reader.ts';

/** The session's codec: `SqlSession.decode`. */
export type Decode = (typeOid: Oid, format: Format, bytes: Uint8Array) => Datum;

const none: readonly Format[] = [];
const allText: readonly Format[] = [0];
const allBinary: readonly Format[] = [1];

/**
 * Reads format codes, values and result format codes: what follows the names in Bind.
 * Throws SqlError 08P01 for counts and lengths that do not fit, 22023 for a format that does not exist, and what
 * `decode` throws for a value that is not one of its type.
 */
export function readBindValues(
  reader: MessageReader,
  statementName: string,
  types: readonly Oid[],
  columnCount: number,
  decode: Decode,
): { readonly parameters: readonly Datum[]; readonly resultFormats: readonly Format[] } {
  const formats = readFormats(reader);
  const count = reader.uint16();
  if (formats.length > 1 && formats.length !== count) {
    throw new SqlError(
      '08P01',
      `bind message has ${formats.length} parameter formats but ${count} parameters`,
    );
  }
  if (count !== types.length) {
    throw new SqlError(
      '08P01',
      `bind message supplies ${count} parameters, but prepared statement "${statementName}" requires ${types.length}`,
    );
  }
  const parameters: Datum[] = [];
  for (let index = 0; index < count; index++) {
    const length = reader.int32();
    if (length === -1) {
      parameters.push(null);
      continue;
    }
    if (length < 0) throw invalid('negative parameter length');
    const bytes = reader.view(length);
    const format = formatOf(formats, index);
    if (format === 0) checkText(bytes);
    parameters.push(decode(types[index] as Oid, format, bytes));
  }
  const resultFormats = readFormats(reader);
  if (resultFormats.length > 1 && resultFormats.length !== columnCount) {
    throw new SqlError(
      '08P01',
      `bind message has ${resultFormats.length} result formats but query has ${columnCount} columns`,
    );
  }
  reader.end();
  return { parameters, resultFormats };
}

function readFormats(reader: MessageReader): readonly Format[] {
  const count = reader.uint16();
  if (count === 0) return none;
  if (count === 1) return readFormat(reader) === 0 ? allText : allBinary;
  if (reader.remaining < count * 2) throw invalid('insufficient data left in message');
  const formats: Format[] = [];
  for (let index = 0; index < count; index++) formats.push(readFormat(reader));
  return formats;
}

function readFormat(reader: MessageReader): Format {
  const code = reader.uint16();
  if (code !== 0 && code !== 1) {
    throw new SqlError('22023', `unsupported format code: ${(code << 16) >> 16}`);
  }
  return code;
}

function formatOf(formats: readonly Format[], index: number): Format {
  if (formats.length === 0) return 0;
  return (formats.length === 1 ? formats[0] : formats[index]) as Format;
}

/** Text is UTF-8 without zeros. Throws SqlError 22021. Short ASCII is checked here, the rest in native code. */
function checkText(bytes: Buffer): void {
  const { length } = bytes;
  if (length <= 32) {
    let at = 0;
    while (at < length && (bytes[at] as number) - 1 < 0x7f && bytes[at] !== 0) at++;
    if (at === length) return;
  }
  if (bytes.includes(0)) {
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  }
  decodeUtf8(bytes);
}
