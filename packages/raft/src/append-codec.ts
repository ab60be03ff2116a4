/**
 * Appends and their answers as bytes, written and read by hand: nearly all that stores say to each other are these two, and a
 * write of a group costs half a dozen of each. The same bytes that the generated code makes (a test compares them). What
 * is read here is well formed; anything else, down to a field out of place, is left to `codec.ts`, which knows the rules
 * and the reasons.
 */
import {
  bytesFieldSize,
  optionalBytesSize,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toTerm,
  varintFieldSize,
  varintSize,
  writeBytesField,
  writeVarint,
  writeVarintField,
} from '@flotilla/base';
import type {
  AppendEntriesRequest,
  AppendEntriesResponse,
  EntryKind,
  LogEntry,
} from './messages.ts';

// Values of `MessageKind`, and tags: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length-delimited).
const requestKind = 1;
const responseKind = 2;
const kindTag = 0x08;
const rangeIdTag = 0x10;
const fromTag = 0x18;
const toTag = 0x20;
const termTag = 0x28;
const prevLogIndexTag = 0x30;
const prevLogTermTag = 0x38;
const entryTag = 0x42;
const leaderCommitTag = 0x48;
const sentAtMsTag = 0x51;
const readSequenceTag = 0x58;
const replicatedIndexTag = 0x60;
const successTag = 0x68;
const matchIndexTag = 0x70;
const rejectedIndexTag = 0x78;
// These take two bytes; the second is 1.
const conflictTermTag = 0x80;
const conflictIndexTag = 0x88;
const needsSnapshotTag = 0xb8;
const commitIndexTag = 0xc0;
const entryIndexTag = 0x08;
const entryTermTag = 0x10;
const entryKindTag = 0x18;
const entryDataTag = 0x22;

/** In the order of `EntryKind`. Configurations are left to `codec.ts`. */
const commandKind = 0;
const noopKind = 1;
const configurationKind = 2;

const noEntries: readonly LogEntry[] = [];
const noData = Buffer.alloc(0);

export function encodeAppend(message: AppendEntriesRequest): Uint8Array {
  const { rangeId, from, to, term, prevLogIndex, prevLogTerm, entries } = message;
  const { leaderCommit, sentAtMs, readSequence, replicatedIndex } = message;
  let size =
    2 +
    (1 + varintSize(rangeId)) +
    (1 + varintSize(from)) +
    (1 + varintSize(to)) +
    varintFieldSize(term) +
    varintFieldSize(prevLogIndex) +
    varintFieldSize(prevLogTerm) +
    varintFieldSize(leaderCommit) +
    (sentAtMs === 0 ? 0 : 9) +
    varintFieldSize(readSequence) +
    varintFieldSize(replicatedIndex);
  for (let i = 0; i < entries.length; i++)
    size += bytesFieldSize(entrySize(entries[i] as LogEntry));
  const buffer = Buffer.allocUnsafe(size);
  let at = writeEnvelope(buffer, requestKind, message);
  at = writeVarintField(buffer, at, prevLogIndexTag, prevLogIndex);
  at = writeVarintField(buffer, at, prevLogTermTag, prevLogTerm);
  for (let i = 0; i < entries.length; i++) at = writeEntry(buffer, at, entries[i] as LogEntry);
  at = writeVarintField(buffer, at, leaderCommitTag, leaderCommit);
  at = writeTime(buffer, at, sentAtMs);
  at = writeVarintField(buffer, at, readSequenceTag, readSequence);
  writeVarintField(buffer, at, replicatedIndexTag, replicatedIndex);
  return buffer;
}

export function encodeAppendAnswer(message: AppendEntriesResponse): Uint8Array {
  const { rangeId, from, to, term, success, matchIndex, rejectedIndex } = message;
  const { conflictTerm, conflictIndex, sentAtMs, readSequence } = message;
  const { needsSnapshot, commitIndex } = message;
  const size =
    2 +
    (1 + varintSize(rangeId)) +
    (1 + varintSize(from)) +
    (1 + varintSize(to)) +
    varintFieldSize(term) +
    (sentAtMs === 0 ? 0 : 9) +
    varintFieldSize(readSequence) +
    (success ? 2 : 0) +
    varintFieldSize(matchIndex) +
    varintFieldSize(rejectedIndex) +
    lateFieldSize(conflictTerm) +
    lateFieldSize(conflictIndex) +
    (needsSnapshot ? 3 : 0) +
    lateFieldSize(commitIndex);
  const buffer = Buffer.allocUnsafe(size);
  let at = writeEnvelope(buffer, responseKind, message);
  at = writeTime(buffer, at, sentAtMs);
  at = writeVarintField(buffer, at, readSequenceTag, readSequence);
  at = writeVarintField(buffer, at, successTag, success ? 1 : 0);
  at = writeVarintField(buffer, at, matchIndexTag, matchIndex);
  at = writeVarintField(buffer, at, rejectedIndexTag, rejectedIndex);
  at = writeLateField(buffer, at, conflictTermTag, conflictTerm);
  at = writeLateField(buffer, at, conflictIndexTag, conflictIndex);
  at = writeLateField(buffer, at, needsSnapshotTag, needsSnapshot ? 1 : 0);
  writeLateField(buffer, at, commitIndexTag, commitIndex);
  return buffer;
}

function writeEnvelope(
  buffer: Buffer,
  kind: number,
  { rangeId, from, to, term }: AppendEntriesRequest | AppendEntriesResponse,
): number {
  buffer[0] = kindTag;
  buffer[1] = kind;
  let at = writeVarintField(buffer, 2, rangeIdTag, rangeId);
  at = writeVarintField(buffer, at, fromTag, from);
  at = writeVarintField(buffer, at, toTag, to);
  return writeVarintField(buffer, at, termTag, term);
}

function writeTime(buffer: Buffer, at: number, sentAtMs: number): number {
  if (sentAtMs === 0) return at;
  buffer[at] = sentAtMsTag;
  return buffer.writeDoubleLE(sentAtMs, at + 1);
}

function lateFieldSize(value: number): number {
  return value === 0 ? 0 : 2 + varintSize(value);
}

function writeLateField(buffer: Buffer, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  buffer[at] = tag;
  buffer[at + 1] = 1;
  return writeVarint(buffer, at + 2, value);
}

function entrySize({ index, term, kind, data }: LogEntry): number {
  const kindSize = kind === 'command' ? 0 : 2;
  return varintFieldSize(index) + varintFieldSize(term) + kindSize + optionalBytesSize(data);
}

function writeEntry(buffer: Buffer, start: number, entry: LogEntry): number {
  const { index, term, kind, data } = entry;
  buffer[start] = entryTag;
  let at = writeVarint(buffer, start + 1, entrySize(entry));
  at = writeVarintField(buffer, at, entryIndexTag, index);
  at = writeVarintField(buffer, at, entryTermTag, term);
  at = writeVarintField(buffer, at, entryKindTag, kindToWire(kind));
  return data.length === 0 ? at : writeBytesField(buffer, at, entryDataTag, data);
}

function kindToWire(kind: EntryKind): number {
  if (kind === 'command') return commandKind;
  return kind === 'noop' ? noopKind : configurationKind;
}

// ---- reading

/** Where reading goes on; `nowhere` once something was met that is not for here. */
let next = 0;
const nowhere = Number.MAX_SAFE_INTEGER;

/** A safe integer >= 0. */
function readVarint(bytes: Uint8Array, end: number): number {
  let at = next;
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    if (at >= end) break;
    const byte = bytes[at++] as number;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      next = at;
      return value;
    }
  }
  return readLongVarint(bytes, at, end, value);
}

function readLongVarint(bytes: Uint8Array, start: number, end: number, low: number): number {
  let at = start;
  let value = low;
  for (let factor = 2 ** 28; factor <= 2 ** 49; factor *= 2 ** 7) {
    if (at >= end) break;
    const byte = bytes[at++] as number;
    value += (byte & 0x7f) * factor;
    if (byte >= 0x80) continue;
    next = value <= Number.MAX_SAFE_INTEGER ? at : nowhere;
    return value;
  }
  next = nowhere;
  return 0;
}

const double = new DataView(new ArrayBuffer(8));

function readTime(bytes: Uint8Array, end: number): number {
  const at = next;
  next = at + 8 <= end ? at + 8 : nowhere;
  if (next === nowhere) return 0;
  for (let i = 0; i < 8; i++) double.setUint8(i, bytes[at + i] as number);
  const time = double.getFloat64(0, true);
  if (!(Number.isFinite(time) && time >= 0)) next = nowhere;
  return time;
}

/** The append in these bytes, or undefined if `codec.ts` is to look at them. */
export function decodeAppend(bytes: Uint8Array): AppendEntriesRequest | undefined {
  if (bytes[0] !== kindTag || bytes[1] !== requestKind) return undefined;
  const end = bytes.length;
  let rangeId = 0;
  let from = 0;
  let to = 0;
  let term = 0;
  let prevLogIndex = 0;
  let prevLogTerm = 0;
  let entries: LogEntry[] | undefined;
  let leaderCommit = 0;
  let sentAtMs = 0;
  let readSequence = 0;
  let replicatedIndex = 0;
  next = 2;
  while (next < end) {
    const tag = bytes[next++];
    switch (tag) {
      case rangeIdTag:
        rangeId = readVarint(bytes, end);
        break;
      case fromTag:
        from = readVarint(bytes, end);
        break;
      case toTag:
        to = readVarint(bytes, end);
        break;
      case termTag:
        term = readVarint(bytes, end);
        break;
      case prevLogIndexTag:
        prevLogIndex = readVarint(bytes, end);
        break;
      case prevLogTermTag:
        prevLogTerm = readVarint(bytes, end);
        break;
      case entryTag: {
        const entry = readEntry(bytes, end);
        if (entry === undefined) return undefined;
        if (entries === undefined) entries = [entry];
        else entries.push(entry);
        break;
      }
      case leaderCommitTag:
        leaderCommit = readVarint(bytes, end);
        break;
      case sentAtMsTag:
        sentAtMs = readTime(bytes, end);
        break;
      case readSequenceTag:
        readSequence = readVarint(bytes, end);
        break;
      case replicatedIndexTag:
        replicatedIndex = readVarint(bytes, end);
        break;
      default:
        return undefined;
    }
  }
  if (next !== end || rangeId === 0 || from === 0 || to === 0) return undefined;
  if (term === 0 || prevLogTerm > term) return undefined;
  if (entries !== undefined && !follow(entries, prevLogIndex, prevLogTerm, term)) return undefined;
  return {
    kind: 'appendEntriesRequest',
    rangeId: toRangeId(rangeId),
    from: toReplicaId(from),
    to: toReplicaId(to),
    term: toTerm(term),
    prevLogIndex: toLogIndex(prevLogIndex),
    prevLogTerm: toTerm(prevLogTerm),
    entries: entries ?? noEntries,
    leaderCommit: toLogIndex(leaderCommit),
    sentAtMs,
    readSequence,
    replicatedIndex: toLogIndex(replicatedIndex),
  };
}

/** An entry that is no configuration. */
function readEntry(bytes: Uint8Array, outerEnd: number): LogEntry | undefined {
  const length = readVarint(bytes, outerEnd);
  if (length > outerEnd - next) return undefined;
  const end = next + length;
  let index = 0;
  let term = 0;
  let kind = 0;
  let data: Uint8Array = noData;
  while (next < end) {
    const tag = bytes[next++];
    if (tag === entryIndexTag) index = readVarint(bytes, end);
    else if (tag === entryTermTag) term = readVarint(bytes, end);
    else if (tag === entryKindTag) kind = readVarint(bytes, end);
    else if (tag === entryDataTag) {
      const dataLength = readVarint(bytes, end);
      if (dataLength > end - next) return undefined;
      data = bytes.subarray(next, next + dataLength);
      next += dataLength;
    } else return undefined;
  }
  if (next !== end || (kind !== commandKind && kind !== noopKind)) return undefined;
  return {
    index: toLogIndex(index),
    term: toTerm(term),
    kind: kind === commandKind ? 'command' : 'noop',
    data,
  };
}

/** Entries follow `prevLogIndex` one by one, with terms that do not fall and do not pass the leader's. */
function follow(
  entries: readonly LogEntry[],
  prevLogIndex: number,
  prevLogTerm: number,
  leaderTerm: number,
): boolean {
  let index = prevLogIndex;
  let term = prevLogTerm;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as LogEntry;
    if (entry.index !== ++index || entry.term < 1 || entry.term < term) return false;
    term = entry.term;
  }
  return term <= leaderTerm;
}

/** The answer in these bytes, or undefined if `codec.ts` is to look at them. */
export function decodeAppendAnswer(bytes: Uint8Array): AppendEntriesResponse | undefined {
  if (bytes[0] !== kindTag || bytes[1] !== responseKind) return undefined;
  const end = bytes.length;
  let rangeId = 0;
  let from = 0;
  let to = 0;
  let term = 0;
  let sentAtMs = 0;
  let readSequence = 0;
  let success = false;
  let matchIndex = 0;
  let commitIndex = 0;
  next = 2;
  while (next < end) {
    const tag = bytes[next++];
    switch (tag) {
      case rangeIdTag:
        rangeId = readVarint(bytes, end);
        break;
      case fromTag:
        from = readVarint(bytes, end);
        break;
      case toTag:
        to = readVarint(bytes, end);
        break;
      case termTag:
        term = readVarint(bytes, end);
        break;
      case sentAtMsTag:
        sentAtMs = readTime(bytes, end);
        break;
      case readSequenceTag:
        readSequence = readVarint(bytes, end);
        break;
      case successTag:
        success = readVarint(bytes, end) !== 0;
        break;
      case matchIndexTag:
        matchIndex = readVarint(bytes, end);
        break;
      case commitIndexTag:
        if (bytes[next++] !== 1) return undefined;
        commitIndex = readVarint(bytes, end);
        break;
      default: // a refusal, which is rare
        return undefined;
    }
  }
  if (next !== end || rangeId === 0 || from === 0 || to === 0) return undefined;
  return {
    kind: 'appendEntriesResponse',
    rangeId: toRangeId(rangeId),
    from: toReplicaId(from),
    to: toReplicaId(to),
    term: toTerm(term),
    success,
    matchIndex: toLogIndex(matchIndex),
    rejectedIndex: noIndex,
    conflictTerm: noTerm,
    conflictIndex: noIndex,
    sentAtMs,
    readSequence,
    needsSnapshot: false,
    commitIndex: toLogIndex(commitIndex),
  };
}

const noIndex = toLogIndex(0);
const noTerm = toTerm(0);
