/**
 * Raft messages as bytes: the generated protobuf code, and the strict border behind it. What comes out of
 * `decodeRaftMessage` is well formed, so that no rule of consensus has to check it again; what is not is refused with a
 * reason. Entries' data are slices of the input: nothing is copied, and the input stays alive with them. Appends and their
 * answers, as they are as a rule, are written and read in `append-codec.ts`.
 * Called by the driver's network side. Wire version: bumped with the frame's, `proto/raft.proto` says when.
 */
import {
  assertNever,
  type LogIndex,
  type RangeId,
  type ReplicaId,
  type Term,
  toLogIndex,
  toRangeId,
  toReplicaId,
  toTerm,
} from '@flotilla/base';
import { flotilla } from '../gen/raft.js';
import {
  decodeAppend,
  decodeAppendAnswer,
  encodeAppend,
  encodeAppendAnswer,
} from './append-codec.ts';
import { decodeConfiguration } from './configuration-codec.ts';
import type { EntryKind, LogEntry, RaftMessage } from './messages.ts';
import { findStoreFault, storeFromWire, storeToWire } from './store-codec.ts';
import { isStoreMessage, type PeerMessage } from './store-messages.ts';

const wire = flotilla.raft;
const kinds = wire.MessageKind;

/**
 * The one record that is encoded from, over and over: encoding is synchronous, and one shape for all kinds keeps the
 * generated code fast. Fields that are 0 do not reach the wire.
 */
const record = new wire.Message();

/** What is encoded by the generated code. */
type FlatMessage = Exclude<
  RaftMessage,
  { readonly kind: 'appendEntriesRequest' | 'appendEntriesResponse' }
>;

export type DecodeResult =
  | { readonly ok: true; readonly message: PeerMessage }
  | { readonly ok: false; readonly reason: string };

/** @param message whose entries follow each other (the core makes no others) */
export function encodeRaftMessage(message: PeerMessage): Uint8Array {
  if (message.kind === 'appendEntriesRequest') return encodeAppend(message);
  if (message.kind === 'appendEntriesResponse') return encodeAppendAnswer(message);
  if (isStoreMessage(message)) return wire.Message.encode(storeToWire(message)).finish();
  fillRecord(message);
  return wire.Message.encode(record).finish();
}

/** Never throws. Reasons are for people; callers count and drop. */
export function decodeRaftMessage(bytes: Uint8Array): DecodeResult {
  const message = decodeAppend(bytes) ?? decodeAppendAnswer(bytes);
  return message === undefined ? decodeAnyMessage(bytes) : { ok: true, message };
}

/** By the generated code: the same for every message, and the reason for what is none. */
export function decodeAnyMessage(bytes: Uint8Array): DecodeResult {
  let decoded: flotilla.raft.Message;
  try {
    decoded = wire.Message.decode(bytes);
  } catch (error) {
    return { ok: false, reason: `not protobuf: ${error instanceof Error ? error.message : error}` };
  }
  if (decoded.store !== null || decoded.kind > kinds.READ_INDEX_RESPONSE) {
    const fault = findStoreFault(decoded);
    return fault === undefined
      ? { ok: true, message: storeFromWire(decoded) }
      : { ok: false, reason: fault };
  }
  const reason = findFault(decoded);
  if (reason !== undefined) return { ok: false, reason };
  return { ok: true, message: fromWire(decoded) };
}

function fillRecord(message: FlatMessage): void {
  clearRecord();
  record.rangeId = message.rangeId;
  record.from = message.from;
  record.to = message.to;
  record.term = message.term;
  switch (message.kind) {
    case 'requestVoteRequest':
      record.kind = kinds.REQUEST_VOTE_REQUEST;
      record.lastLogIndex = message.lastLogIndex;
      record.lastLogTerm = message.lastLogTerm;
      record.leadershipTransfer = message.leadershipTransfer;
      return;
    case 'requestVoteResponse':
      record.kind = kinds.REQUEST_VOTE_RESPONSE;
      record.success = message.voteGranted;
      return;
    case 'preVoteRequest':
      record.kind = kinds.PRE_VOTE_REQUEST;
      record.lastLogIndex = message.lastLogIndex;
      record.lastLogTerm = message.lastLogTerm;
      return;
    case 'preVoteResponse':
      record.kind = kinds.PRE_VOTE_RESPONSE;
      record.success = message.voteGranted;
      return;
    case 'timeoutNow':
      record.kind = kinds.TIMEOUT_NOW;
      record.lastLogIndex = message.lastLogIndex;
      record.context = message.handOver;
      return;
    case 'readIndexRequest':
      record.kind = kinds.READ_INDEX_REQUEST;
      record.context = message.context;
      return;
    case 'readIndexResponse':
      record.kind = kinds.READ_INDEX_RESPONSE;
      record.context = message.context;
      record.readIndex = message.readIndex;
      record.success = message.success;
      return;
    default:
      assertNever(message);
  }
}

function clearRecord(): void {
  record.success = false;
  record.lastLogIndex = 0;
  record.lastLogTerm = 0;
  record.leadershipTransfer = false;
  record.context = 0;
  record.readIndex = 0;
}

function entryKindFromWire(kind: number): EntryKind | undefined {
  switch (kind) {
    case wire.EntryKind.COMMAND:
      return 'command';
    case wire.EntryKind.NOOP:
      return 'noop';
    case wire.EntryKind.CONFIGURATION:
      return 'configuration';
    default:
      return undefined;
  }
}

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

/** Why the message is refused, or undefined if it is well formed. */
function findFault(m: flotilla.raft.Message): string | undefined {
  if (m.kind < kinds.APPEND_ENTRIES_REQUEST || m.kind > kinds.READ_INDEX_RESPONSE)
    return `unknown message kind ${m.kind}`;
  if (!(isCount(m.rangeId) && m.rangeId >= 1)) return 'rangeId is not an id';
  if (!(isCount(m.from) && m.from >= 1)) return 'from is not an id';
  if (!(isCount(m.to) && m.to >= 1)) return 'to is not an id';
  if (!isCount(m.term)) return 'term is not a term';
  if (
    !(
      isCount(m.prevLogIndex) &&
      isCount(m.prevLogTerm) &&
      isCount(m.leaderCommit) &&
      isCount(m.readSequence) &&
      isCount(m.replicatedIndex) &&
      isCount(m.matchIndex) &&
      isCount(m.rejectedIndex) &&
      isCount(m.conflictTerm) &&
      isCount(m.conflictIndex) &&
      isCount(m.lastLogIndex) &&
      isCount(m.lastLogTerm) &&
      isCount(m.context) &&
      isCount(m.readIndex) &&
      isCount(m.commitIndex)
    )
  )
    return 'a number is negative or not exact';
  if (!(Number.isFinite(m.sentAtMs) && m.sentAtMs >= 0)) return 'sentAtMs is not a time';
  if (m.kind === kinds.APPEND_ENTRIES_REQUEST) return findAppendFault(m);
  if (m.entries.length > 0) return 'entries outside of an append';
  if (m.kind === kinds.REQUEST_VOTE_REQUEST || m.kind === kinds.PRE_VOTE_REQUEST) {
    if (m.term < 1) return 'a campaign has a term';
    if (m.lastLogTerm > m.term) return 'lastLogTerm is above the term';
  }
  return undefined;
}

/** Entries must follow prevLogIndex one by one, with terms that do not fall and do not pass the leader's. */
function findAppendFault(m: flotilla.raft.Message): string | undefined {
  if (m.term < 1) return 'a leader has a term';
  if (m.prevLogTerm > m.term) return 'prevLogTerm is above the term';
  if (!Number.isSafeInteger(m.prevLogIndex + m.entries.length)) return 'indexes leave the numbers';
  let index = m.prevLogIndex;
  let term = m.prevLogTerm;
  for (const entry of m.entries) {
    const entryIndex = entry.index ?? 0;
    const entryTerm = entry.term ?? 0;
    if (entryIndex !== index + 1) return `entries are not contiguous after ${index}`;
    if (!isCount(entryTerm) || entryTerm < 1 || entryTerm < term || entryTerm > m.term)
      return `term of entry ${entryIndex} is out of order`;
    if (entryKindFromWire(entry.kind ?? 0) === undefined)
      return `unknown kind of entry ${entryIndex}`;
    if (entry.kind === wire.EntryKind.CONFIGURATION) {
      const decoded = decodeConfiguration(entry.data ?? new Uint8Array(0));
      if (!decoded.ok) return `configuration of entry ${entryIndex}: ${decoded.reason}`;
    }
    index = entryIndex;
    term = entryTerm;
  }
  return undefined;
}

interface Envelope {
  readonly rangeId: RangeId;
  readonly from: ReplicaId;
  readonly to: ReplicaId;
  readonly term: Term;
}

/** The message has no fault. */
function fromWire(m: flotilla.raft.Message): RaftMessage {
  const envelope: Envelope = {
    rangeId: toRangeId(m.rangeId),
    from: toReplicaId(m.from),
    to: toReplicaId(m.to),
    term: toTerm(m.term),
  };
  switch (m.kind) {
    case kinds.APPEND_ENTRIES_REQUEST:
      return {
        kind: 'appendEntriesRequest',
        ...envelope,
        prevLogIndex: toLogIndex(m.prevLogIndex),
        prevLogTerm: toTerm(m.prevLogTerm),
        entries: m.entries.map(entryFromWire),
        leaderCommit: toLogIndex(m.leaderCommit),
        sentAtMs: m.sentAtMs,
        readSequence: m.readSequence,
        replicatedIndex: toLogIndex(m.replicatedIndex),
      };
    case kinds.APPEND_ENTRIES_RESPONSE:
      return {
        kind: 'appendEntriesResponse',
        ...envelope,
        success: m.success,
        matchIndex: toLogIndex(m.matchIndex),
        rejectedIndex: toLogIndex(m.rejectedIndex),
        conflictTerm: toTerm(m.conflictTerm),
        conflictIndex: toLogIndex(m.conflictIndex),
        sentAtMs: m.sentAtMs,
        readSequence: m.readSequence,
        needsSnapshot: m.needsSnapshot,
        commitIndex: toLogIndex(m.commitIndex),
      };
    case kinds.REQUEST_VOTE_REQUEST:
      return {
        kind: 'requestVoteRequest',
        ...envelope,
        ...lastEntryFromWire(m),
        leadershipTransfer: m.leadershipTransfer,
      };
    case kinds.REQUEST_VOTE_RESPONSE:
      return { kind: 'requestVoteResponse', ...envelope, voteGranted: m.success };
    case kinds.PRE_VOTE_REQUEST:
      return { kind: 'preVoteRequest', ...envelope, ...lastEntryFromWire(m) };
    case kinds.PRE_VOTE_RESPONSE:
      return { kind: 'preVoteResponse', ...envelope, voteGranted: m.success };
    case kinds.TIMEOUT_NOW:
      return {
        kind: 'timeoutNow',
        ...envelope,
        lastLogIndex: toLogIndex(m.lastLogIndex),
        handOver: m.context,
      };
    case kinds.READ_INDEX_REQUEST:
      return { kind: 'readIndexRequest', ...envelope, context: m.context };
    default:
      return {
        kind: 'readIndexResponse',
        ...envelope,
        context: m.context,
        readIndex: toLogIndex(m.readIndex),
        success: m.success,
      };
  }
}

function lastEntryFromWire(m: flotilla.raft.Message): {
  readonly lastLogIndex: LogIndex;
  readonly lastLogTerm: Term;
} {
  return { lastLogIndex: toLogIndex(m.lastLogIndex), lastLogTerm: toTerm(m.lastLogTerm) };
}

function entryFromWire(entry: flotilla.raft.Entry.$Properties): LogEntry {
  return {
    index: toLogIndex(entry.index ?? 0),
    term: toTerm(entry.term ?? 0),
    kind: entryKindFromWire(entry.kind ?? 0) ?? 'command',
    data: entry.data ?? new Uint8Array(0),
  };
}
