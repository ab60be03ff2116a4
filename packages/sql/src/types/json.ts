/**
 * JSON without loss: a parser that keeps numbers as decimals and tells where it failed as PostgreSQL does, jsonb's
 * canonical text (keys by length and bytes, the last of equal keys, numbers with their scale), and jsonb's order. A jsonb
 * datum is its canonical text; functions work on `JsonValue`.
 */
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import { expectLength, type TypeCodec } from './codec.ts';
import { canonicalNumeric, compareNumeric, parseNumeric } from './numeric.ts';
import { compareText, decodeText, textCodec } from './strings.ts';

/** A number, as numeric text. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Members in jsonb's order; for json as they are written, duplicates too. */
export class JsonObject {
  readonly members: readonly JsonMember[];
  private index: Map<string, JsonValue> | undefined;

  constructor(members: readonly JsonMember[]) {
    this.members = members;
    this.index = undefined;
  }

  /** Of several with the key the last. */
  get(key: string): JsonValue | undefined {
    if (this.members.length < 8) {
      for (let i = this.members.length - 1; i >= 0; i--)
        if (this.members[i]?.key === key) return this.members[i]?.value;
      return undefined;
    }
    this.index ??= new Map(this.members.map((one) => [one.key, one.value]));
    return this.index.get(key);
  }
}

export interface JsonMember {
  readonly key: string;
  readonly value: JsonValue;
}

export type JsonValue = null | boolean | string | JsonNumber | JsonObject | readonly JsonValue[];

export function isJsonArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

const depthMax = 6_000;

/** The source texts of objects and arrays that were read as json. */
const written = new WeakMap<object, string>();

class JsonReader {
  private readonly text: string;
  private readonly binary: boolean;
  private at = 0;
  private depth = 0;

  /** @param binary for jsonb: \u0000 is refused, objects are sorted */
  constructor(text: string, binary: boolean) {
    this.text = text;
    this.binary = binary;
  }

  read(): JsonValue {
    const value = this.value();
    this.space();
    if (this.at < this.text.length)
      throw this.fail(`Expected end of input, but found "${this.token()}".`);
    return value;
  }

  private space(): void {
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (unit !== 0x20 && unit !== 0x0a && unit !== 0x0d && unit !== 0x09) return;
      this.at++;
    }
  }

  private value(): JsonValue {
    this.space();
    const unit = this.text[this.at];
    switch (unit) {
      case undefined:
        throw this.fail('The input string ended unexpectedly.', true);
      case '{':
        return this.kept(() => this.object());
      case '[':
        return this.kept(() => this.array());
      case '"':
        return this.string();
      default:
        return this.scalar();
    }
  }

  /** json prints its parts as they were written. */
  private kept<T extends object>(read: () => T): T {
    const start = this.at;
    const value = this.nested(read);
    if (!this.binary) written.set(value, this.text.slice(start, this.at));
    return value;
  }

  private nested<T>(read: () => T): T {
    if (++this.depth > depthMax) throw new SqlError('54001', 'stack depth limit exceeded');
    const value = read();
    this.depth--;
    return value;
  }

  private object(): JsonObject {
    this.at++;
    const members: JsonMember[] = [];
    this.space();
    if (this.text[this.at] === '}') {
      this.at++;
      return new JsonObject(members);
    }
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"')
        throw this.expected(members.length === 0 ? 'Expected string or "}"' : 'Expected string');
      const key = this.string();
      this.space();
      if (this.text[this.at] !== ':') throw this.expected('Expected ":"');
      this.at++;
      members.push({ key, value: this.value() });
      this.space();
      const mark = this.text[this.at];
      if (mark === ',') this.at++;
      else if (mark === '}') {
        this.at++;
        return this.binary ? sortedObject(members) : new JsonObject(members);
      } else throw this.expected('Expected "," or "}"');
    }
  }

  private array(): readonly JsonValue[] {
    this.at++;
    const elements: JsonValue[] = [];
    this.space();
    if (this.text[this.at] === ']') {
      this.at++;
      return elements;
    }
    for (;;) {
      elements.push(this.value());
      this.space();
      const mark = this.text[this.at];
      if (mark === ',') this.at++;
      else if (mark === ']') {
        this.at++;
        return elements;
      } else throw this.expected('Expected "," or "]"');
    }
  }

  private string(): string {
    const start = this.at++;
    let result = '';
    let from = this.at;
    for (;;) {
      const unit = this.text.charCodeAt(this.at);
      if (Number.isNaN(unit)) {
        this.at = this.text.length;
        throw this.fail(`Token "${this.text.slice(start)}" is invalid.`);
      }
      if (unit === 0x22) {
        result += this.text.slice(from, this.at++);
        return result;
      }
      if (unit < 0x20)
        throw this.fail(
          `Character with value 0x${unit.toString(16).padStart(2, '0')} must be escaped.`,
        );
      if (unit !== 0x5c) {
        this.at++;
        continue;
      }
      result += this.text.slice(from, this.at) + this.escape();
      from = this.at;
    }
  }

  private escape(): string {
    const mark = this.text[this.at + 1] ?? '';
    const simple = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[
      mark
    ];
    if (simple !== undefined) {
      this.at += 2;
      return simple;
    }
    if (mark !== 'u') {
      this.at += 2;
      throw this.fail(`Escape sequence "\\${mark}" is invalid.`);
    }
    const unit = this.hex();
    if (unit === 0 && this.binary)
      throw new SqlError('22P05', 'unsupported Unicode escape sequence', {
        detail: '\\u0000 cannot be converted to text.',
        where: this.where(this.at),
      });
    if (unit >= 0xdc00 && unit < 0xe000) throw this.surrogate('low');
    if (unit < 0xd800 || unit >= 0xe000) return String.fromCharCode(unit);
    if (this.text[this.at] !== '\\' || this.text[this.at + 1] !== 'u') throw this.surrogate('low');
    const low = this.hex();
    if (low < 0xdc00 || low >= 0xe000) throw this.surrogate('low');
    return String.fromCharCode(unit, low);
  }

  private hex(): number {
    const digits = /^[0-9a-fA-F]{4}/.exec(this.text.slice(this.at + 2, this.at + 6));
    if (digits === null) {
      this.at += 6;
      throw this.fail('"\\u" must be followed by four hexadecimal digits.');
    }
    this.at += 6;
    return Number.parseInt(digits[0], 16);
  }

  private surrogate(_which: string): SqlError {
    return this.fail('Unicode low surrogate must follow a high surrogate.');
  }

  private scalar(): JsonValue {
    const match =
      /^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])|true(?!\w)|false(?!\w)|null(?!\w))/.exec(
        this.text.slice(this.at, this.at + 400_000),
      );
    if (match === null) {
      const start = this.at;
      const token = this.token();
      this.at = start + token.length;
      const closing = token === '' ? undefined : token[0];
      if (closing !== undefined && ']},:'.includes(closing)) {
        this.at = start;
        throw this.expected('Expected JSON value');
      }
      throw this.fail(`Token "${token}" is invalid.`);
    }
    const [text] = match;
    this.at += text.length;
    if (text === 'true') return true;
    if (text === 'false') return false;
    if (text === 'null') return null;
    return new JsonNumber(this.binary ? parseNumeric(text) : text);
  }

  private token(): string {
    const word = /^(?:[-+.\w\u0080-\uffff]+|"(?:[^"\\]|\\.)*"?|[\s\S])/u.exec(
      this.text.slice(this.at),
    );
    return word === null ? '' : word[0];
  }

  private expected(what: string): SqlError {
    if (this.at >= this.text.length) return this.fail('The input string ended unexpectedly.', true);
    const token = this.token();
    this.at += token.length;
    return this.fail(`${what}, but found "${token}".`);
  }

  private fail(detail: string, atEnd = false): SqlError {
    return new SqlError('22P02', 'invalid input syntax for type json', {
      detail,
      where: this.where(atEnd ? this.text.length : this.at),
    });
  }

  private where(end: number): string {
    const before = this.text.slice(0, end);
    const line = before.split('\n').length;
    const lineStart = before.lastIndexOf('\n') + 1;
    let shown = this.text.slice(lineStart, end);
    if (shown.length > 50) shown = `...${shown.slice(-50)}`;
    const more = end < this.text.length && this.text[end] !== '\n' ? '...' : '';
    return `JSON data, line ${line}: ${shown}${more}`;
  }
}

/** Throws 22P02, 22P05, 54001. */
export function parseJson(text: string, binary: boolean): JsonValue {
  return new JsonReader(text, binary).read();
}

const parsedMax = 64;
const parsedTextMax = 100_000;
const parsed = new Map<string, JsonValue>();

/** The value of a jsonb datum. The last few are remembered: functions take one apart again and again. */
export function readJsonb(datum: string): JsonValue {
  const known = parsed.get(datum);
  if (known !== undefined) return known;
  const value = parseJson(datum, true);
  if (datum.length <= parsedTextMax && value !== null) {
    if (parsed.size >= parsedMax) parsed.clear();
    parsed.set(datum, value);
  }
  return value;
}

/** jsonb sorts keys by their length in bytes first. */
export function compareKeys(a: string, b: string): number {
  const length = Buffer.byteLength(a) - Buffer.byteLength(b);
  return length !== 0 ? length : compareText(a, b);
}

/** Of equal keys the last stays. */
export function sortedObject(members: readonly JsonMember[]): JsonObject {
  const last = new Map<string, JsonValue>();
  for (const { key, value } of members) last.set(key, value);
  const sorted = [...last].map(([key, value]) => ({ key, value }));
  return new JsonObject(sorted.sort((a, b) => compareKeys(a.key, b.key)));
}

/** A JSON string literal as PostgreSQL escapes it. */
export function quoteJson(text: string): string {
  const quoted = JSON.stringify(text);
  return /[\ud800-\udfff\u007f]/.test(text)
    ? quoted.replace(/\\u(d[89a-f][0-9a-f]{2})/g, '\\u$1')
    : quoted;
}

/** jsonb_out: `{"a": 1, "b": [1, 2]}`. */
export function formatJsonb(value: JsonValue): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return quoteJson(value);
  if (typeof value === 'boolean') return String(value);
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof JsonObject)
    return `{${value.members.map((one) => `${quoteJson(one.key)}: ${formatJsonb(one.value)}`).join(', ')}}`;
  return `[${value.map(formatJsonb).join(', ')}]`;
}

/** A part of a json value: as it was written, or without blanks where it was made. */
export function formatJson(value: JsonValue): string {
  if (value instanceof JsonObject)
    return (
      written.get(value) ??
      `{${value.members.map((one) => `${quoteJson(one.key)}:${formatJson(one.value)}`).join(',')}}`
    );
  if (isJsonArray(value)) return written.get(value) ?? `[${value.map(formatJson).join(',')}]`;
  return formatJsonb(value);
}

function rank(value: JsonValue): number {
  if (value instanceof JsonObject) return 6;
  if (isJsonArray(value)) return 5;
  if (typeof value === 'boolean') return 4;
  if (value instanceof JsonNumber) return 3;
  return typeof value === 'string' ? 2 : 1;
}

/** compareJsonbContainers: Object > Array > Boolean > Number > String > Null; larger containers above smaller ones. */
export function compareJson(a: JsonValue, b: JsonValue): number {
  if (rank(a) !== rank(b)) {
    // An empty array at the top is below every scalar: a leftover of how jsonb wraps scalars into arrays.
    if (isJsonArray(a) && a.length === 0 && !(b instanceof JsonObject)) return -1;
    if (isJsonArray(b) && b.length === 0 && !(a instanceof JsonObject)) return 1;
  }
  return compareInner(a, b);
}

function compareInner(a: JsonValue, b: JsonValue): number {
  const order = rank(a) - rank(b);
  if (order !== 0) return order;
  if (typeof a === 'string') return compareText(a, b as string);
  if (a instanceof JsonNumber) return compareNumeric(a.text, (b as JsonNumber).text);
  if (typeof a === 'boolean') return Number(a) - Number(b);
  if (a instanceof JsonObject) {
    const other = b as JsonObject;
    if (a.members.length !== other.members.length) return a.members.length - other.members.length;
    for (let i = 0; i < a.members.length; i++) {
      const [x, y] = [a.members[i], other.members[i]];
      if (x === undefined || y === undefined) continue;
      const keys = compareText(x.key, y.key);
      if (keys !== 0) return keys;
      const values = compareInner(x.value, y.value);
      if (values !== 0) return values;
    }
    return 0;
  }
  if (isJsonArray(a)) {
    const other = b as readonly JsonValue[];
    if (a.length !== other.length) return a.length - other.length;
    for (let i = 0; i < a.length; i++) {
      const elements = compareInner(a[i] ?? null, other[i] ?? null);
      if (elements !== 0) return elements;
    }
  }
  return 0;
}

/** Equal for equal values. */
function hashJson(value: JsonValue): string {
  if (value instanceof JsonNumber) return canonicalNumeric(value.text);
  if (value instanceof JsonObject)
    return `{${value.members.map((one) => `${quoteJson(one.key)}:${hashJson(one.value)}`).join()}}`;
  if (isJsonArray(value)) return `[${value.map(hashJson).join()}]`;
  return formatJsonb(value);
}

/** json: the text as it was written, once it is known to be valid. */
export const jsonCodec: TypeCodec = {
  ...textCodec,
  parse: (text) => {
    parseJson(text, false);
    return text;
  },
  receive: (bytes) => {
    const text = decodeText(bytes);
    parseJson(text, false);
    return text;
  },
  compare: undefined,
  key: undefined,
};

export const jsonbCodec: TypeCodec = {
  parse: (text) => formatJsonb(parseJson(text, true)),
  format: String,
  receive: (bytes) => {
    if (bytes[0] !== 1) {
      expectLength(bytes.subarray(0, 1), 1);
      throw new SqlError('XX000', `unsupported jsonb version number ${bytes[0]}`);
    }
    return formatJsonb(parseJson(decodeText(bytes.subarray(1)), true));
  },
  send: (value: Datum) => Buffer.concat([Buffer.of(1), Buffer.from(value as string, 'utf8')]),
  compare: (a, b) => (a === b ? 0 : compareJson(readJsonb(a as string), readJsonb(b as string))),
  identical: false,
  hash: (value) => hashJson(readJsonb(value as string)),
  key: undefined,
  row: 'text',
};
