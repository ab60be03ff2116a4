/** The type jsonpath. A datum is the text that PostgreSQL prints; who evaluates one reads its tree from here. */
import { SqlError } from '../../sql-error.ts';
import { badSyntax, expectLength, type TypeCodec } from '../codec.ts';
import { decodeText } from '../strings.ts';
import type { JsonPath } from './nodes.ts';
import { parseJsonPath } from './parser.ts';
import { formatJsonPath } from './printer.ts';

/** Paths are constants of statements, mostly: a few are asked for again and again. */
const knownMax = 256;
const knownTextMax = 10_000;
const known = new Map<string, JsonPath>();

/** Throws what input of the type throws. */
export function readJsonPath(text: string): JsonPath {
  const found = known.get(text);
  if (found !== undefined) return found;
  const path = parseJsonPath(text);
  if (path === undefined) throw badSyntax('jsonpath', text);
  if (text.length <= knownTextMax) {
    if (known.size >= knownMax) known.clear();
    known.set(text, path);
  }
  return path;
}

const version = 1;

export const jsonPathCodec: TypeCodec = {
  parse: (text) => formatJsonPath(readJsonPath(text)),
  format: String,
  receive: (bytes) => {
    if (bytes[0] !== version) {
      expectLength(bytes.subarray(0, 1), 1);
      throw new SqlError('XX000', `unsupported jsonpath version number: ${bytes[0]}`);
    }
    return formatJsonPath(readJsonPath(decodeText(bytes.subarray(1))));
  },
  send: (value) => Buffer.concat([Buffer.of(version), Buffer.from(value as string, 'utf8')]),
  compare: undefined,
  identical: true,
  key: undefined,
  row: 'text',
};
