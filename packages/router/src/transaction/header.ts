/** A transaction's context as the header of its requests. Encoded per request: the snapshot and what is observed change. */
import { timestampSpan } from '@flotilla/base';
import {
  bytesFieldSize,
  type kv,
  optionalBytesSize,
  varintFieldSize,
  writeBytesField,
  writeVarint,
  writeVarintField,
} from '@flotilla/shard/protocol';
import type { TransactionContext } from './transaction-api.ts';

/** What of a header differs from its context. */
export interface HeaderTarget {
  readonly coordinator: string;
  readonly storeId: number;
  /** Any replica is asked, and may answer. */
  readonly following?: boolean;
}

export type HeaderFields = Parameters<typeof kv.TransactionHeader.encode>[0];

export function headerFields(context: TransactionContext, target: HeaderTarget): HeaderFields {
  return {
    id: context.id,
    readTimestamp: context.readTimestamp,
    uncertaintyLimit: context.uncertaintyLimit,
    observedTimestamp: context.observed.get(target.storeId) ?? 0,
    coordinator: target.coordinator,
    startedAt: context.startedAt,
  };
}

/** As fields of a Request, by hand: the same bytes that the generated code makes. */
export function encodeHeaderField(context: TransactionContext, target: HeaderTarget): Uint8Array {
  const { id, readTimestamp, uncertaintyLimit, startedAt } = context;
  const observed = context.observed.get(target.storeId) ?? 0;
  const coordinator = bytesOfClientId(target.coordinator);
  const size =
    optionalBytesSize(id) +
    varintFieldSize(readTimestamp) +
    varintFieldSize(uncertaintyLimit) +
    varintFieldSize(observed) +
    optionalBytesSize(coordinator) +
    varintFieldSize(startedAt);
  const follows = target.following === true;
  const buffer = Buffer.allocUnsafe((follows ? 2 : 0) + bytesFieldSize(size));
  let at = follows ? writeVarintField(buffer, 0, followerReadTag, 1) : 0;
  buffer[at++] = transactionTag;
  at = writeVarint(buffer, at, size);
  if (id.length > 0) at = writeBytesField(buffer, at, 0x0a, id);
  at = writeVarintField(buffer, at, 0x10, readTimestamp);
  at = writeVarintField(buffer, at, 0x18, uncertaintyLimit);
  at = writeVarintField(buffer, at, 0x20, observed);
  if (coordinator.length > 0) at = writeBytesField(buffer, at, 0x2a, coordinator);
  writeVarintField(buffer, at, 0x30, startedAt);
  return buffer;
}

// Tags of the Request: field number << 3 | wire type (0 varint, 2 length-delimited).
const followerReadTag = 0x28;
const transactionTag = 0x32;

/** A process has one client id, or few. */
let latest = { clientId: '', bytes: Buffer.alloc(0) };

function bytesOfClientId(clientId: string): Uint8Array {
  if (latest.clientId !== clientId) latest = { clientId, bytes: Buffer.from(clientId) };
  return latest.bytes;
}

/** Nothing that the snapshot might show can still be written anywhere: any replica that has heard so may be asked. */
export function mayFollow(
  { readTimestamp, uncertaintyLimit }: TransactionContext,
  now: number,
  followerReadLagMs: number,
): boolean {
  if (readTimestamp === 0) return false;
  return Math.max(readTimestamp, uncertaintyLimit) <= now - timestampSpan(followerReadLagMs);
}

/** The clock of a store when it first answered is what its later answers may be judged by. */
export function observe(context: TransactionContext, storeId: number, timestamp: number): void {
  if (timestamp > 0 && storeId > 0 && !context.observed.has(storeId))
    context.observed.set(storeId, timestamp);
}
