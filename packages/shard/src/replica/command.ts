/**
 * The in-memory form of evaluated commands and of the log entries that carry them. The leaseholder keeps what it
 * proposed, so that only followers decode.
 */
import { asBuffer, assert, InvariantViolation } from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import type { IntentChange, RecordChange } from '../state/transaction-state.ts';

export interface PhysicalWrite {
  readonly key: Uint8Array;
  /** Stored form; empty in a delete. */
  value: Uint8Array;
  isDelete: boolean;
  /** 0: the key was absent. */
  readonly previousTimestamp: number;
  /** Stored form of the version that is moved to the history. */
  readonly previousValue: Uint8Array;
  /** Of the version that is written, or of the deletion. 0: the command's. */
  readonly versionTimestamp: number;
}

export interface Command {
  /** 0: an internal write, outside exactly-once. */
  readonly sessionId: number;
  readonly serial: number;
  readonly ackedUpTo: number;
  readonly timestamp: number;
  readonly writes: PhysicalWrite[];
  /** Empty unless this registers a session. */
  readonly registerNonce: Uint8Array;
  readonly evictedSessionId: number;
  /** 1 + index of the condition that did not hold. */
  readonly failedCondition: number;
  readonly foundTimestamp: number;
  readonly intents: readonly IntentChange[];
  readonly records: readonly RecordChange[];
  /** Of the versions it writes, if not its own. 0: its own. */
  readonly versionTimestamp: number;
}

const noBytes = Buffer.alloc(0);
const nothing: readonly never[] = [];

/**
 * A command that does what `parts` says and nothing else; outside exactly-once without a session. The fields are spelled out:
 * objects that begin as copies of another have a shape each, and slow down whatever looks at many of them.
 */
export function makeCommand(
  timestamp: number,
  parts: Partial<Omit<Command, 'timestamp'>>,
): Command {
  return {
    sessionId: parts.sessionId ?? 0,
    serial: parts.serial ?? 0,
    ackedUpTo: parts.ackedUpTo ?? 0,
    timestamp,
    writes: parts.writes ?? [],
    registerNonce: parts.registerNonce ?? noBytes,
    evictedSessionId: parts.evictedSessionId ?? 0,
    failedCondition: parts.failedCondition ?? 0,
    foundTimestamp: parts.foundTimestamp ?? 0,
    intents: parts.intents ?? nothing,
    records: parts.records ?? nothing,
    versionTimestamp: parts.versionTimestamp ?? 0,
  };
}

/** The two ranges that one becomes. */
export interface RangeSplit {
  /** Goes on under the id and with the log of the range that is cut. */
  readonly left: RangeDescriptor;
  readonly right: RangeDescriptor;
}

export interface CommandBatch {
  readonly commands: readonly Command[];
  readonly generation: number;
  readonly term: number;
  /** Applied after the commands: sessions last used before it are forgotten. 0: none. */
  readonly expireSessionsBefore: number;
  /** Alone in its entry; null or absent in almost all. */
  readonly split?: RangeSplit | null | undefined;
}

export function encodeCommandBatch(batch: CommandBatch): Uint8Array {
  return flotilla.kv.CommandBatch.encode(
    batch as unknown as flotilla.kv.CommandBatch.$Properties,
  ).finish();
}

/** Values are views of `data`. An entry was checked by log and network: bytes that do not decode are our bug. */
export function decodeCommandBatch(data: Uint8Array): CommandBatch {
  let decoded: flotilla.kv.CommandBatch;
  try {
    decoded = flotilla.kv.CommandBatch.decode(asBuffer(data));
  } catch (error) {
    throw new InvariantViolation('a committed entry decodes', { error: String(error) });
  }
  // Every field has its default on the prototype, so a decoded message is complete.
  const batch = decoded as unknown as CommandBatch;
  if (!decoded.split) return batch;
  const { commands, generation, term, expireSessionsBefore } = batch;
  const split = decodeSplit(decoded.split);
  return { commands, generation, term, expireSessionsBefore, split };
}

function decodeSplit({ left, right }: flotilla.kv.RangeSplit.$Properties): RangeSplit {
  const [one, other] = [checkDescriptor(left ?? {}), checkDescriptor(right ?? {})];
  assert(one.ok && other.ok, 'a committed split decodes', { one, other });
  return { left: one.descriptor, right: other.descriptor };
}

/** About what the command takes in a log entry. Unit: bytes. */
export function commandBytes(command: Command): number {
  let bytes = 48 + command.registerNonce.length;
  for (const write of command.writes)
    bytes += write.key.length + write.value.length + write.previousValue.length + 16;
  for (const { key, stored } of command.intents) bytes += key.length + stored.length + 8;
  for (const { key, stored } of command.records) bytes += key.length + stored.length + 26;
  return bytes;
}
