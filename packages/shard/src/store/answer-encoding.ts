/**
 * Answers as bytes. Values of gets, of which there are most, are written by hand: the same bytes that the generated code
 * makes (a test compares them, and knows all fields of the message).
 */
import type { flotilla } from '../../gen/kv.js';
import {
  bytesFieldSize,
  kv,
  optionalBytesSize,
  varintFieldSize,
  varintSize,
  writeBytesField,
  writeVarint,
  writeVarintField,
} from '../protocol/index.ts';
import type { Answer } from '../replica/answers.ts';

type GetResponse = flotilla.kv.GetResponse.$Properties;
type Value = flotilla.kv.Value.$Properties;

// Tags: field number << 3 | wire type (0 varint, 2 length-delimited).
const requestIdTag = 0x08;
const getTag = 0x52; // field 10
const noBytes = new Uint8Array(0);

export function encodeAnswer(requestId: number, answer: Answer): Uint8Array {
  const { get, write } = answer;
  if (get && !get.evaluated) return encodeValues(requestId, get);
  // The other kind of which there are many: objects of one shape.
  if (write) return kv.Response.encode({ requestId, write }).finish();
  return kv.Response.encode({ requestId, ...answer }).finish();
}

function encodeValues(requestId: number, get: GetResponse): Uint8Array {
  const { values, readTimestamp, storeTimestamp } = get;
  let body = varintFieldSize(readTimestamp ?? 0) + varintFieldSize(storeTimestamp ?? 0);
  if (values) for (const value of values) body += bytesFieldSize(valueSize(value));
  const buffer = Buffer.allocUnsafe(varintFieldSize(requestId) + 1 + varintSize(body) + body);
  let at = writeVarintField(buffer, 0, requestIdTag, requestId);
  buffer[at++] = getTag;
  at = writeVarint(buffer, at, body);
  if (values)
    for (const value of values) {
      buffer[at++] = 0x0a;
      at = writeValue(buffer, writeVarint(buffer, at, valueSize(value)), value);
    }
  at = writeVarintField(buffer, at, 0x10, readTimestamp ?? 0);
  writeVarintField(buffer, at, 0x18, storeTimestamp ?? 0);
  return buffer;
}

function valueSize({ present, value, timestamp, skipped }: Value): number {
  const flags = (present ? 2 : 0) + (skipped ? 2 : 0);
  return flags + optionalBytesSize(value ?? noBytes) + varintFieldSize(timestamp ?? 0);
}

function writeValue(buffer: Buffer, start: number, value: Value): number {
  let at = start;
  if (value.present) at = writeVarintField(buffer, at, 0x08, 1);
  if (value.value?.length) at = writeBytesField(buffer, at, 0x12, value.value);
  at = writeVarintField(buffer, at, 0x18, value.timestamp ?? 0);
  return value.skipped ? writeVarintField(buffer, at, 0x20, 1) : at;
}
