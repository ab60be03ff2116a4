/**
 * Where an object stands inside its document as PostgreSQL lays jsonb out, in bytes: `.keyvalue()` makes its ids of that.
 * A container is a word of header, a word for each child (key and value of a member are two), then the children; numbers and
 * containers begin at multiples of four. Pure.
 */
import { isJsonArray, JsonNumber, JsonObject, type JsonValue } from '../../types/json.ts';
import { sendNumeric } from '../../types/numeric-binary.ts';

const word = 4;

function aligned(offset: number): number {
  return Math.ceil(offset / word) * word;
}

/** A numeric with its length word: a short header where scale and weight are small, then digits of base 10,000. */
function numberBytes(text: string): number {
  const sent = Buffer.from(sendNumeric(text));
  const [digits, weight, scale] = [sent.readUInt16BE(0), sent.readInt16BE(2), sent.readUInt16BE(6)];
  const short = scale <= 63 && weight >= -64 && weight <= 63;
  return word + (short ? 2 : 4) + digits * 2;
}

/** Bytes from the document's beginning, for every array and object inside it. Cost: linear in the document. */
export function containerOffsets(root: JsonValue): ReadonlyMap<object, number> {
  const offsets = new Map<object, number>();
  /** @returns where the value ends */
  const place = (value: JsonValue, at: number): number => {
    if (value === null || typeof value === 'boolean') return at;
    if (typeof value === 'string') return at + Buffer.byteLength(value);
    if (value instanceof JsonNumber) return aligned(at) + numberBytes(value.text);
    const start = aligned(at);
    offsets.set(value, start);
    if (isJsonArray(value)) {
      let end = start + word + value.length * word;
      for (const one of value) end = place(one, end);
      return end;
    }
    let end = start + word + value.members.length * 2 * word;
    for (const { key } of value.members) end += Buffer.byteLength(key);
    for (const one of value.members) end = place(one.value, end);
    return end;
  };
  place(root, 0);
  return offsets;
}

/** An object of `.keyvalue()`: its members in jsonb's order. */
export function keyValueObject(key: string, value: JsonValue, id: number): JsonObject {
  return new JsonObject([
    { key: 'id', value: new JsonNumber(String(id)) },
    { key: 'key', value: key },
    { key: 'value', value },
  ]);
}
