/**
 * What the rooms of a leaseholder share: the state that it evaluates on, the clock of its log, and the way into the log.
 * `Leaseholder` is the only one; the interface keeps the rooms from reaching into each other.
 */
import type { HybridLogicalClock, Span } from '@flotilla/base';
import type { ProposeResult, ReadGrant } from '@flotilla/raft';
import type { Engine } from '../engine/engine.ts';
import type { RowPrograms } from '../evaluation/row-programs.ts';
import type { StoreLimits } from '../limits.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import type { SessionTable } from '../state/session-table.ts';
import type { StorageSpace } from '../state/storage-keys.ts';
import type { Intent } from '../state/transaction-rows.ts';
import type { TransactionState } from '../state/transaction-state.ts';
import type { Contention } from '../transaction/contention.ts';
import type { LiveTransactions } from '../transaction/live-transactions.ts';
import type { LockTable } from '../transaction/lock-table.ts';
import type { ReadProgress } from '../transaction/read-checks.ts';
import type { TransactionMemory } from '../transaction/transaction-memory.ts';
import type { WaitingClock, WaitingRoom } from '../transaction/waiting-room.ts';
import type { Answer, Answers, Caller } from './answers.ts';
import type { Command } from './command.ts';
import type { CommandsUnderWay } from './commands-under-way.ts';
import type { EvaluationView, RequestCheck } from './evaluation.ts';

/** What a leaseholder may see of its replica. */
export interface LeaseholderReplica {
  readonly descriptor: RangeDescriptor;
  readonly sessions: SessionTable;
  readonly space: StorageSpace;
  readonly lastTimestamp: number;
  readonly lastDeletion: number;
  readonly transactions: TransactionState;
  readonly waitingRoom: WaitingRoom;
  notLeaseholder(): Answer;
  keyMismatch(span: Span): Answer;
}

export interface LeaseholderContext {
  readonly engine: Engine;
  readonly hlc: HybridLogicalClock;
  readonly limits: StoreLimits;
  /** Undefined: no write here computes its value. */
  readonly programs: RowPrograms | undefined;
  readonly answers: Answers;
  readonly live: LiveTransactions;
  /** Of the store: keys that are fought over. */
  readonly contention: Contention;
  readonly waitingClock: WaitingClock;
  readonly nowMs: () => number;
  /** Runs the callback once, after about that time. */
  readonly after: (delayMs: number, callback: () => void) => void;
  /** How long a new leaseholder lets writes wait, so that they come above what its predecessor served. Unit: ms. */
  readonly takeOverWaitMs: number;
  readonly propose: (data: Uint8Array) => ProposeResult;
  /** The range holds intents or undecided records, or is about to: somebody must finish them. @param inherited it did
   *  before there was this leaseholder */
  readonly onPromise: (inherited: boolean) => void;
  readonly leaseValid: () => boolean;
  readonly readBarrier: () => Promise<ReadGrant>;
  /** There is something to propose at the end of this turn. */
  readonly onDirty: () => void;
  readonly onFatal: (error: unknown) => void;
}

/** A request on its way through evaluation: parked, made to wait and tried again until it is answered or in the log. */
export interface Attempt {
  readonly caller: Caller;
  /** @returns the answer if there is one at once */
  readonly evaluate: () => Answer | undefined;
  /** Monotonic ms: until when it waits for others. 0 = it has not waited yet. */
  waitUntilMs: number;
  /** The request's read checks, as far as they are found to hold. */
  reads?: ReadProgress;
}

export interface LeaseholderCore {
  readonly replica: LeaseholderReplica;
  readonly context: LeaseholderContext;
  readonly memory: TransactionMemory;
  readonly locks: LockTable;
  readonly underWay: CommandsUnderWay;
  /** No command was evaluated above it. */
  readonly lastTimestamp: number;
  /** Too many evaluated bytes are not applied yet. */
  readonly isOverloaded: boolean;
  readonly isResigned: boolean;
  view(): EvaluationView;
  bounds(): Span;
  nextTimestamp(): number;
  /** The command's effects are part of the view from now on. @param answer if not that of a write or registration */
  append(caller: Caller | undefined, command: Command, answer?: Answer): void;
  /** Evaluates again as soon as it may: the answer is sent. */
  again(attempt: Attempt): void;
  /** Until the intent is out of the way, or for a while. */
  waitForIntent(attempt: Attempt, intent: Intent): Answer | undefined;
  /** The intent of a transaction that is known to be committed becomes a version. */
  resolveAnnounced(intent: Intent): void;
  /** Nothing else is evaluated while `read` runs; then `evaluate` is, and its answer sent. */
  alone<Result>(
    caller: Caller,
    read: () => Promise<Result>,
    evaluate: (result: Result) => Answer | undefined,
  ): undefined;
  refused(check: RequestCheck & { readonly ok: false }): Answer;
  busy(): Answer;
}
