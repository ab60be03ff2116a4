/** Arrays of any type: the text form with its braces and quotes, the binary form, order, keys; int2vector and oidvector. */
import { KeyReader, KeyWriter } from '@flotilla/base';
import type { Datum } from '../session-api.ts';
import { SqlError } from '../sql-error.ts';
import type { RowForm, TextContext, TypeCodec } from './codec.ts';
import { type ArrayDimension, ArrayValue, emptyArray } from './values.ts';

/** What an array must know of its elements. */
export interface ElementType {
  readonly oid: number;
  readonly display: string;
  readonly codec: TypeCodec | undefined;
  /** Of enumerations: what is stored of an element is not what is sent. */
  readonly labels?: readonly unknown[];
}

export const dimensionsMax = 6;
export const arrayElementsMax = 134_217_727;

function malformed(text: string, detail: string): SqlError {
  return new SqlError('22P02', `malformed array literal: "${text}"`, { detail });
}

/** Reads the braces of an array's text; what lies between them is the element type's. */
class ArrayReader {
  private readonly text: string;
  private readonly element: (text: string) => Datum;
  private at = 0;
  private readonly lengths: number[] = [];
  private readonly elements: Datum[] = [];
  /** Depth at which elements stand; undefined until the first. */
  private leafDepth: number | undefined;

  constructor(text: string, element: (text: string) => Datum) {
    this.text = text;
    this.element = element;
  }

  /** Throws 22P02, 2202E, and what the element's input throws. */
  read(): ArrayValue {
    const lowers = this.bounds();
    this.space();
    if (this.text[this.at] !== '{')
      throw malformed(
        this.text,
        lowers === undefined
          ? 'Array value must start with "{" or dimension information.'
          : 'Array contents must start with "{".',
      );
    this.level(0);
    this.space();
    if (this.at < this.text.length) throw malformed(this.text, 'Junk after closing right brace.');
    if (this.elements.length === 0) return emptyArray;
    const dimensions: ArrayDimension[] = this.lengths.map((length, i) => ({
      length,
      lower: lowers?.[i]?.lower ?? 1,
    }));
    if (
      lowers !== undefined &&
      (lowers.length !== dimensions.length ||
        lowers.some((one, i) => one.length !== dimensions[i]?.length))
    )
      throw malformed(this.text, 'Specified array dimensions do not match array contents.');
    return new ArrayValue(this.elements, dimensions);
  }

  /** `[1:3][0:1]=` */
  private bounds(): ArrayDimension[] | undefined {
    const match = /^\s*((?:\[\s*[+-]?\d+(?:\s*:\s*[+-]?\d+)?\s*\]\s*)+)=/.exec(this.text);
    if (match === null) {
      if (/^\s*\[/.test(this.text))
        throw malformed(this.text, 'Missing "=" after array dimensions.');
      return undefined;
    }
    this.at = match[0].length;
    return [...(match[1] ?? '').matchAll(/\[\s*([+-]?\d+)(?:\s*:\s*([+-]?\d+))?\s*\]/g)].map(
      (one) => {
        const [lower, upper] =
          one[2] === undefined ? [1, Number(one[1])] : [Number(one[1]), Number(one[2])];
        if (upper < lower)
          throw new SqlError('2202E', 'upper bound cannot be less than lower bound');
        return { lower, length: upper - lower + 1 };
      },
    );
  }

  private level(depth: number): void {
    if (depth >= dimensionsMax)
      throw new SqlError(
        '54000',
        `number of array dimensions (${depth + 1}) exceeds the maximum allowed (${dimensionsMax})`,
      );
    this.at++;
    let count = 0;
    for (;;) {
      this.space();
      const unit = this.text[this.at];
      if (unit === undefined) throw malformed(this.text, 'Unexpected end of input.');
      if (unit === '}') {
        if (count > 0) throw malformed(this.text, 'Unexpected "}" character.');
        this.at++;
        break;
      }
      if (unit === '{') {
        if (this.leafDepth !== undefined && this.leafDepth <= depth)
          throw malformed(this.text, 'Unexpected "{" character.');
        this.level(depth + 1);
      } else this.leaf(depth);
      count++;
      this.space();
      const next = this.text[this.at];
      if (next === ',') {
        this.at++;
        this.space();
        if (this.text[this.at] === '}') throw malformed(this.text, 'Unexpected "}" character.');
      } else if (next === '}') {
        this.at++;
        break;
      } else if (next === undefined) throw malformed(this.text, 'Unexpected end of input.');
      else throw malformed(this.text, 'Unexpected array element.');
    }
    const before = this.lengths[depth];
    if (before === undefined) this.lengths[depth] = count;
    else if (before !== count)
      throw malformed(
        this.text,
        'Multidimensional arrays must have sub-arrays with matching dimensions.',
      );
  }

  private leaf(depth: number): void {
    if (this.leafDepth === undefined) this.leafDepth = depth;
    else if (this.leafDepth !== depth)
      throw malformed(
        this.text,
        'Multidimensional arrays must have sub-arrays with matching dimensions.',
      );
    const unit = this.text[this.at];
    if (unit === ',') throw malformed(this.text, 'Unexpected "," character.');
    if (unit === '"') {
      this.elements.push(this.element(this.quoted()));
      return;
    }
    let plain = '';
    let escaped = false;
    let end = 0;
    for (;;) {
      const next = this.text[this.at];
      if (next === undefined) throw malformed(this.text, 'Unexpected end of input.');
      if (next === ',' || next === '}') break;
      if (next === '"' || next === '{') throw malformed(this.text, 'Unexpected array element.');
      if (next === '\\') {
        escaped = true;
        plain += this.text[this.at + 1] ?? '';
        this.at += 2;
        end = plain.length;
        continue;
      }
      plain += next;
      if (!/\s/.test(next)) end = plain.length;
      this.at++;
    }
    plain = plain.slice(0, end);
    const isNull = !escaped && plain.length === 4 && plain.toLowerCase() === 'null';
    this.elements.push(isNull ? null : this.element(plain));
  }

  private quoted(): string {
    let text = '';
    this.at++;
    for (;;) {
      const unit = this.text[this.at];
      if (unit === undefined) throw malformed(this.text, 'Unexpected end of input.');
      if (unit === '"') {
        this.at++;
        return text;
      }
      if (unit === '\\') {
        text += this.text[this.at + 1] ?? '';
        this.at += 2;
        continue;
      }
      text += unit;
      this.at++;
    }
  }

  private space(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }
}

function quoteElement(text: string): string {
  if (text !== '' && !/[\s{}",\\]/.test(text) && text.toLowerCase() !== 'null') return text;
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

function formatArray(value: ArrayValue, element: (one: Datum) => string): string {
  const { dimensions, elements } = value;
  if (dimensions.length === 0) return '{}';
  let at = 0;
  const level = (depth: number): string => {
    const parts: string[] = [];
    const { length } = dimensions[depth] ?? { length: 0 };
    for (let i = 0; i < length; i++) {
      if (depth + 1 < dimensions.length) parts.push(level(depth + 1));
      else {
        const one = elements[at++] ?? null;
        parts.push(one === null ? 'NULL' : quoteElement(element(one)));
      }
    }
    return `{${parts.join(',')}}`;
  };
  const shifted = dimensions.some((one) => one.lower !== 1);
  const bounds = dimensions.map((one) => `[${one.lower}:${one.lower + one.length - 1}]`).join('');
  return `${shifted ? `${bounds}=` : ''}${level(0)}`;
}

function sendArray(
  value: ArrayValue,
  element: ElementType,
  send: (one: Datum) => Uint8Array,
): Buffer {
  const { dimensions, elements } = value;
  const head = Buffer.allocUnsafe(12 + dimensions.length * 8);
  head.writeInt32BE(dimensions.length, 0);
  head.writeInt32BE(elements.includes(null) ? 1 : 0, 4);
  head.writeUInt32BE(element.oid, 8);
  dimensions.forEach((one, i) => {
    head.writeInt32BE(one.length, 12 + i * 8);
    head.writeInt32BE(one.lower, 16 + i * 8);
  });
  const parts: Uint8Array[] = [head];
  for (const one of elements) {
    const bytes = one === null ? undefined : send(one);
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(bytes === undefined ? -1 : bytes.length);
    parts.push(length);
    if (bytes !== undefined) parts.push(bytes);
  }
  return Buffer.concat(parts);
}

/** Throws 22P03, 08P01, 42804, 54000. */
function receiveArray(
  bytes: Buffer,
  element: ElementType,
  receive: (bytes: Buffer) => Datum,
): ArrayValue {
  const need = (end: number) => {
    if (end > bytes.length) throw new SqlError('08P01', 'insufficient data left in message');
  };
  need(12);
  const count = bytes.readInt32BE(0);
  if (count < 0) throw new SqlError('22P03', `invalid number of dimensions: ${count}`);
  if (count > dimensionsMax)
    throw new SqlError(
      '54000',
      `number of array dimensions (${count}) exceeds the maximum allowed (${dimensionsMax})`,
    );
  const flags = bytes.readInt32BE(4);
  if (flags !== 0 && flags !== 1) throw new SqlError('22P03', `invalid array flags`);
  const oid = bytes.readUInt32BE(8);
  if (oid !== element.oid)
    throw new SqlError(
      '42804',
      `binary data has array element type ${oid} instead of expected ${element.oid} (${element.display})`,
    );
  need(12 + count * 8);
  const dimensions: ArrayDimension[] = [];
  let total = count === 0 ? 0 : 1;
  for (let i = 0; i < count; i++) {
    const length = bytes.readInt32BE(12 + i * 8);
    if (length < 0) throw new SqlError('22P03', `invalid array length`);
    dimensions.push({ length, lower: bytes.readInt32BE(16 + i * 8) });
    total *= length;
  }
  if (total > arrayElementsMax)
    throw new SqlError('54000', 'array size exceeds the maximum allowed');
  const elements: Datum[] = [];
  let at = 12 + count * 8;
  for (let i = 0; i < total; i++) {
    need(at + 4);
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) {
      elements.push(null);
      continue;
    }
    if (length < 0) throw new SqlError('08P01', 'insufficient data left in message');
    need(at + length);
    elements.push(receive(bytes.subarray(at, at + length)));
    at += length;
  }
  if (at !== bytes.length)
    throw new SqlError('22P03', 'incorrect binary data format in bind parameter');
  return total === 0 ? emptyArray : new ArrayValue(elements, dimensions);
}

/** Element by element, NULL above all; then the shorter first; then by shape. */
export function compareArrays(
  a: ArrayValue,
  b: ArrayValue,
  compare: (x: Datum, y: Datum) => number,
): number {
  const length = Math.min(a.elements.length, b.elements.length);
  for (let i = 0; i < length; i++) {
    const [x = null, y = null] = [a.elements[i], b.elements[i]];
    if (x === null || y === null) {
      if (x === y) continue;
      return x === null ? 1 : -1;
    }
    const order = compare(x, y);
    if (order !== 0) return order;
  }
  if (a.elements.length !== b.elements.length) return a.elements.length - b.elements.length;
  if (a.dimensions.length !== b.dimensions.length) return a.dimensions.length - b.dimensions.length;
  for (let i = 0; i < a.dimensions.length; i++) {
    const [x, y] = [a.dimensions[i], b.dimensions[i]];
    if (x === undefined || y === undefined) continue;
    if (x.length !== y.length) return x.length - y.length;
    if (x.lower !== y.lower) return x.lower - y.lower;
  }
  return 0;
}

const neutral: TextContext = {
  zone: { name: 'UTC', offsetAt: () => 0 },
  extraFloatDigits: 1,
  now: 0n,
};

/** The codec of an array type over its element's. */
export function arrayCodec(element: ElementType): TypeCodec {
  const own = element.codec;
  if (own === undefined) throw new RangeError(`${element.display} has a codec`);
  const { compare, key, modifier } = own;
  const map = (value: ArrayValue, change: (one: Datum) => Datum) =>
    new ArrayValue(
      value.elements.map((one) => (one === null ? null : change(one))),
      value.dimensions,
    );
  const send = (value: Datum, context: TextContext) =>
    sendArray(value as ArrayValue, element, (one) => own.send(one, context));
  const receive = (bytes: Buffer, context: TextContext) =>
    receiveArray(bytes, element, (one) => own.receive(one, context, element.display));
  return {
    parse: (text, context, _display, elementModifier) =>
      new ArrayReader(text, (one) =>
        own.parse(one, context, element.display, elementModifier),
      ).read(),
    format: (value, context) => formatArray(value as ArrayValue, (one) => own.format(one, context)),
    receive,
    send,
    compare:
      compare === undefined
        ? undefined
        : (a, b) => compareArrays(a as ArrayValue, b as ArrayValue, compare),
    identical: false,
    hash: (value) => {
      const { elements, dimensions } = value as ArrayValue;
      const shape = dimensions.map((one) => `${one.lower}:${one.length}`).join();
      const texts = elements.map((one) => {
        if (one === null) return '~';
        const text = own.hash === undefined ? String(one) : own.hash(one);
        return `${text.length}:${text}`;
      });
      return `${shape}|${texts.join('')}`;
    },
    key:
      key === undefined
        ? undefined
        : {
            write: (writer, value) => {
              const inner = new KeyWriter().begin(new Uint8Array(0));
              for (const one of (value as ArrayValue).elements) {
                inner.raw(Uint8Array.of(1));
                if (one === null) inner.null();
                else key.write(inner, one);
              }
              writer.bytes(inner.raw(Uint8Array.of(0)).finish());
            },
            read: (reader) => {
              const bytes = reader.bytes();
              const elements: Datum[] = [];
              for (let at = 0; bytes[at] === 1; ) {
                const inner = new KeyReader(bytes, at + 1);
                elements.push(inner.takeNull() ? null : key.read(inner));
                at = inner.offset;
              }
              return new ArrayValue(elements);
            },
            exact: false,
          },
    row: rowForm(element) ?? {
      encode: (value) => send(value, neutral),
      decode: (bytes) => receive(bytes, neutral),
    },
    ...(modifier === undefined
      ? {}
      : {
          modifier: {
            ...modifier,
            apply: (value, modifierValue, explicit) =>
              map(value as ArrayValue, (one) => modifier.apply(one, modifierValue, explicit)),
          },
        }),
    ...(own.sessionText === true ? { sessionText: true as const } : {}),
  };
}

/** Of arrays of enumerations: elements as columns of the type have them, so that labels may be renamed. */
function rowForm(element: ElementType): Exclude<RowForm, string> | undefined {
  const form = element.codec?.row;
  if (element.labels === undefined || typeof form !== 'object') return undefined;
  return {
    encode: (value) => sendArray(value as ArrayValue, element, (one) => form.encode(one)),
    decode: (bytes) => receiveArray(bytes, element, (one) => form.decode(one)),
  };
}

/** int2vector and oidvector: numbers apart by blanks, subscripts from 0. */
export function vectorCodec(element: ElementType): TypeCodec {
  const base = arrayCodec(element);
  const own = element.codec;
  const make = (elements: readonly Datum[]) =>
    new ArrayValue(elements, [{ length: elements.length, lower: 0 }]);
  return {
    ...base,
    parse: (text, context) =>
      make(
        text
          .split(/\s+/)
          .filter((part) => part !== '')
          .map((part) => own?.parse(part, context, element.display) ?? null),
      ),
    format: (value) => (value as ArrayValue).elements.map(String).join(' '),
  };
}
