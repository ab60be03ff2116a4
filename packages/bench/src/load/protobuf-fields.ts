/** As much of protobuf's encoding as etcd's messages need: fields in, fields out. Pure. Source: protobuf's encoding guide. */

/** A length-delimited field: bytes, or a message. */
export function bytesField(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

/** An integer >= 0, or a member of an enumeration. */
export function integerField(number: number, value: number): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)]);
}

export interface Field {
  readonly number: number;
  /** Of an integer; 0 otherwise. */
  readonly integer: number;
  /** Of a length-delimited one; empty otherwise. */
  readonly bytes: Buffer;
}

/** The fields of a message in their order. @throws RangeError if it is cut short or of a kind that etcd does not use */
export function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new RangeError('a message is cut short');
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = next();
    const number = tag >>> 3;
    const kind = tag & 7;
    if (kind === 0) {
      yield { number, integer: next(), bytes: empty };
      continue;
    }
    if (kind !== 2) throw new RangeError(`a field of kind ${kind}`);
    const length = next();
    if (at + length > message.length) throw new RangeError('a message is cut short');
    yield { number, integer: 0, bytes: message.subarray(at, at + length) };
    at += length;
  }
}

const empty = Buffer.alloc(0);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80);
  bytes.push(left);
  return Buffer.from(bytes);
}
