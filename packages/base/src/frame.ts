/**
 * The envelope of everything that crosses the network. A frame is one message on the wire: a header, then a list of
 * messages, or one piece of a message that is larger than a frame. Bad bytes are refused, never asserted on. Decoded
 * messages, pieces and cluster ids are slices of the frame: whoever keeps one longer than a turn keeps the whole frame.
 *
 *   u8 version (1) | u8 flags (1 = fragment) | 16 bytes cluster id (zeros: none yet) | f64 HLC timestamp
 *   | u8 sender kind (1 store, 2 client) | sender id: f64 store id, or u8 length + ASCII client id
 *   | whole: (u32 length, bytes)*          fragment: f64 message number | u32 piece | u32 pieces | u32 total | bytes
 *
 * All numbers little-endian. Every piece of a message but the last has `ceil(total / pieces)` bytes, so that a piece
 * alone says where it belongs.
 */
import { assert } from './assert.ts';
import { asBuffer } from './bytes.ts';
import { type StoreId, type Timestamp, toStoreId, toTimestamp } from './ids.ts';

export type Sender =
  | { readonly kind: 'store'; readonly storeId: StoreId }
  | { readonly kind: 'client'; readonly clientId: string };

export interface FrameHeader {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly timestamp: Timestamp;
  readonly sender: Sender;
}

/** One piece of a message that does not fit into a frame. */
export interface Fragment {
  /** Unique per sender while any piece of the message may be under way. */
  readonly messageNumber: number;
  /** From 0. */
  readonly piece: number;
  /** At least 2. */
  readonly pieces: number;
  /** Length of the whole message in bytes. */
  readonly totalBytes: number;
  readonly bytes: Uint8Array;
}

export type DecodedFrame =
  | {
      readonly ok: true;
      readonly kind: 'whole';
      readonly header: FrameHeader;
      readonly messages: Uint8Array[];
    }
  | {
      readonly ok: true;
      readonly kind: 'fragment';
      readonly header: FrameHeader;
      readonly fragment: Fragment;
    }
  | { readonly ok: false; readonly reason: string };

export const frameVersion: number = 1;
export const clusterIdBytes: number = 16;
/** In the header of a process that does not know its cluster yet. */
export const noClusterId: Uint8Array = new Uint8Array(clusterIdBytes);
/** Largest message a frame or a train of fragments carries. Unit: bytes. Four times the largest value. */
export const messageBytesMax: number = 16 * 1024 * 1024;
/** Most pieces of one message: leaves room for transports with frames of 16 KiB. */
export const piecesMax: number = 1024;
/** Bytes that each message adds to a whole frame beyond its own. */
export const messageOverheadBytes: number = 4;
/** Bytes that a fragment adds after the header. */
export const fragmentOverheadBytes: number = 20;
const clientIdBytesMax = 64;
const flagFragment = 1;
const senderStore = 1;
const senderClient = 2;
const senderKindAt = 2 + clusterIdBytes + 8;

/** A client id is 1 to 64 letters, digits, `_` or `-`: it is a token of NATS subjects. */
export function isClientId(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(text);
}

/** The id of a client that lives in the process of a store tells which: stores lead what they are asked from their own process. */
export function clientIdAt(id: string, home: StoreId | undefined): string {
  return home === undefined ? id : `${id}-s${home}`;
}

/** The store in whose process a client lives. 0: none, or nobody knows. */
export function homeOfClient(clientId: string): number {
  const at = clientId.lastIndexOf('-s');
  if (at < 0) return 0;
  const home = Number(clientId.slice(at + 2));
  return Number.isSafeInteger(home) && home > 0 ? home : 0;
}

/** One string per sender: for maps. */
export function senderKey(sender: Sender): string {
  return sender.kind === 'store' ? `s${sender.storeId}` : `c${sender.clientId}`;
}

export function frameHeaderBytes(header: FrameHeader): number {
  const { sender } = header;
  return senderKindAt + 1 + (sender.kind === 'store' ? 8 : 1 + sender.clientId.length);
}

/** A frame of whole messages, in order. The caller keeps it within the transport's limit. One copy of each message. */
export function encodeFrame(header: FrameHeader, messages: readonly Uint8Array[]): Uint8Array {
  let length = frameHeaderBytes(header);
  for (const message of messages) length += messageOverheadBytes + message.length;
  const frame = Buffer.allocUnsafe(length);
  let at = writeHeader(frame, header, 0);
  for (const message of messages) {
    at = frame.writeUInt32LE(message.length, at);
    frame.set(message, at);
    at += message.length;
  }
  assert(at === length, 'frame is filled exactly', { at, length });
  return frame;
}

export function encodeFragment(header: FrameHeader, fragment: Fragment): Uint8Array {
  const wrong = fragmentFault(fragment);
  assert(wrong === undefined, 'fragment is well formed', { wrong });
  const length = frameHeaderBytes(header) + fragmentOverheadBytes + fragment.bytes.length;
  const frame = Buffer.allocUnsafe(length);
  let at = writeHeader(frame, header, flagFragment);
  at = frame.writeDoubleLE(fragment.messageNumber, at);
  at = frame.writeUInt32LE(fragment.piece, at);
  at = frame.writeUInt32LE(fragment.pieces, at);
  at = frame.writeUInt32LE(fragment.totalBytes, at);
  frame.set(fragment.bytes, at);
  return frame;
}

function writeHeader(frame: Buffer, header: FrameHeader, flags: number): number {
  const { clusterId, sender } = header;
  assert(clusterId.length === clusterIdBytes, 'cluster id has 16 bytes');
  frame[0] = frameVersion;
  frame[1] = flags;
  frame.set(clusterId, 2);
  frame.writeDoubleLE(header.timestamp, 2 + clusterIdBytes);
  if (sender.kind === 'store') {
    frame[senderKindAt] = senderStore;
    return frame.writeDoubleLE(sender.storeId, senderKindAt + 1);
  }
  const { length } = sender.clientId;
  assert(length >= 1 && length <= clientIdBytesMax, 'client id has 1 to 64 characters');
  frame[senderKindAt] = senderClient;
  frame[senderKindAt + 1] = length;
  frame.write(sender.clientId, senderKindAt + 2, 'latin1');
  return senderKindAt + 2 + length;
}

/** Bytes of every piece but the last, which has what remains. */
export function pieceBytes(totalBytes: number, pieces: number): number {
  return Math.ceil(totalBytes / pieces);
}

function fragmentFault(fragment: Fragment): string | undefined {
  const { messageNumber, piece, pieces, totalBytes, bytes } = fragment;
  if (!Number.isSafeInteger(messageNumber) || messageNumber < 0) return 'message number';
  if (pieces < 2 || pieces > piecesMax) return 'number of pieces';
  if (piece >= pieces) return 'piece beyond the last';
  if (totalBytes > messageBytesMax) return 'message larger than its limit';
  const each = pieceBytes(totalBytes, pieces);
  const expected = Math.min(each, totalBytes - piece * each);
  if (expected < 1 || bytes.length !== expected) return 'length of a piece';
  return undefined;
}

/** Never throws. Cost: linear in the number of messages, not in their bytes. */
export function decodeFrame(bytes: Uint8Array): DecodedFrame {
  const frame = asBuffer(bytes);
  if (frame.length < senderKindAt + 2) return refused('shorter than a header');
  if (frame[0] !== frameVersion) return refused(`version ${frame[0]}`);
  const flags = frame[1] ?? 0;
  if ((flags & ~flagFragment) !== 0) return refused(`unknown flags ${flags}`);
  const timestamp = frame.readDoubleLE(2 + clusterIdBytes);
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) return refused('timestamp');
  const idAt = senderKindAt + 1;
  let sender: Sender;
  let at: number;
  if (frame[senderKindAt] === senderStore) {
    at = idAt + 8;
    if (frame.length < at) return refused('store id is cut off');
    const storeId = frame.readDoubleLE(idAt);
    if (!Number.isSafeInteger(storeId) || storeId < 1) return refused('store id');
    sender = { kind: 'store', storeId: toStoreId(storeId) };
  } else if (frame[senderKindAt] === senderClient) {
    at = idAt + 1 + (frame[idAt] ?? 0);
    if (frame.length < at) return refused('client id is cut off');
    const clientId = frame.toString('latin1', idAt + 1, at);
    if (!isClientId(clientId)) return refused('client id');
    sender = { kind: 'client', clientId };
  } else {
    return refused(`sender kind ${frame[senderKindAt]}`);
  }
  const header: FrameHeader = {
    clusterId: frame.subarray(2, 2 + clusterIdBytes),
    timestamp: toTimestamp(timestamp),
    sender,
  };
  return flags === flagFragment
    ? decodeFragment(frame, at, header)
    : decodeMessages(frame, at, header);
}

function decodeMessages(frame: Buffer, start: number, header: FrameHeader): DecodedFrame {
  const messages: Uint8Array[] = [];
  const end = frame.length;
  let at = start;
  while (at < end) {
    if (end - at < messageOverheadBytes) return refused('length is cut off');
    const length = frame.readUInt32LE(at);
    at += messageOverheadBytes;
    if (length > end - at) return refused('message is cut off');
    messages.push(frame.subarray(at, at + length));
    at += length;
  }
  return { ok: true, kind: 'whole', header, messages };
}

function decodeFragment(frame: Buffer, at: number, header: FrameHeader): DecodedFrame {
  if (frame.length < at + fragmentOverheadBytes) return refused('fragment is cut off');
  const fragment: Fragment = {
    messageNumber: frame.readDoubleLE(at),
    piece: frame.readUInt32LE(at + 8),
    pieces: frame.readUInt32LE(at + 12),
    totalBytes: frame.readUInt32LE(at + 16),
    bytes: frame.subarray(at + fragmentOverheadBytes),
  };
  const wrong = fragmentFault(fragment);
  return wrong === undefined ? { ok: true, kind: 'fragment', header, fragment } : refused(wrong);
}

function refused(reason: string): DecodedFrame {
  return { ok: false, reason };
}
