/**
 * Who asked and how they are answered. Every admitted request is answered exactly once, by `Answers.send`, which also
 * gives back what admission counted. Bodies are built here so that refusals read the same everywhere.
 */
import type { flotilla } from '../../gen/kv.js';
import type { StoreLimits } from '../limits.ts';
import { kv } from '../protocol/index.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { SessionResult } from '../state/session-table.ts';
import type { Command } from './command.ts';

/** One admitted request. */
export interface Caller {
  readonly clientId: string;
  readonly requestId: number;
  /** Size of the request: what admission counted. */
  readonly bytes: number;
  /** Monotonic ms; nobody waits for the answer after it. */
  readonly deadlineMs: number;
  /** When it came, if it is one of those that are timed. Monotonic ms. */
  readonly timedFromMs?: number | undefined;
  /** Set: the asker is this store itself, which hears it here. */
  readonly onAnswer?: (answer: Answer) => void;
}

/** For a question that the store asks itself. */
export function ownCaller(deadlineMs: number, onAnswer: (answer: Answer) => void): Caller {
  return { clientId: '', requestId: 0, bytes: 0, deadlineMs, onAnswer };
}

/** A Response without its request id. */
export type Answer = flotilla.kv.Response.$Properties;

export interface Answers {
  send(caller: Caller, answer: Answer): void;
}

export type RefusalReason = flotilla.kv.RefusalReason;
export const RefusalReason: typeof flotilla.kv.RefusalReason = kv.RefusalReason;

export interface RefusalHints {
  readonly ranges?: flotilla.kv.RangeInfo.$Properties[];
  readonly retryAfterMs?: number;
  readonly blocked?: flotilla.kv.BlockingIntent.$Properties;
  readonly timestamp?: number;
  readonly holders?: flotilla.kv.LockHolder.$Properties[];
  readonly edges?: flotilla.kv.WaitEdge.$Properties[];
  readonly key?: Uint8Array;
}

export function refusal(reason: RefusalReason, message: string, hints: RefusalHints = {}): Answer {
  return { refusal: { reason, message, ...hints } };
}

/** Nothing was done: the asker may come again after a while. */
export function busyRefusal(
  { busyRetryAfterMs }: Pick<StoreLimits, 'busyRetryAfterMs'>,
  message: string,
): Answer {
  return refusal(RefusalReason.BUSY, message, { retryAfterMs: busyRetryAfterMs });
}

export function rangeInfo(
  descriptor: RangeDescriptor,
  leaseholderStoreId: number,
  term: number,
): flotilla.kv.RangeInfo.$Properties {
  return { descriptor, leaseholderStoreId, term };
}

/** What the asker hears once the command is applied. */
export function answerOf(command: Command): Answer {
  if (command.registerNonce.length > 0)
    return { registerSession: { sessionId: command.sessionId } };
  return answerOfResult(command);
}

/** What a duplicate hears of a serial that the table knows. */
export function answerOfResult(
  result: Pick<
    SessionResult,
    'timestamp' | 'failedCondition' | 'foundTimestamp' | 'versionTimestamp'
  >,
): Answer {
  if (result.failedCondition === 0)
    return { write: { applied: true, timestamp: result.versionTimestamp || result.timestamp } };
  return {
    write: {
      applied: false,
      failedCondition: result.failedCondition - 1,
      foundTimestamp: result.foundTimestamp,
    },
  };
}
