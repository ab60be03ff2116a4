/**
 * One member of one range on this store: the replicated state in memory (descriptor, position, sessions), the
 * deterministic application of log entries to it, and, while it leads, a `Leaseholder`. Knows no network and no timers.
 * `apply` decides by state and entry alone: the same entries over the same checkpoint give the same writes anywhere.
 */
import {
  asBuffer,
  assert,
  compareBytes,
  InvariantViolation,
  type LogIndex,
  present,
  probe,
  type RangeId,
  type ReplicaId,
  type Span,
  type StoreId,
  type Term,
  toLogIndex,
  toReplicaId,
  toTerm,
} from '@flotilla/base';
import { decodeConfiguration, type LogEntry, type SoftState } from '@flotilla/raft';
import type { EngineOperation } from '../engine/engine.ts';
import { descriptorAfter } from '../membership/configuration.ts';
import { boundsGeneration, type RangeDescriptor } from '../range-descriptor.ts';
import type { ServedRanges } from '../reads/served-ranges.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import type { SessionTable } from '../state/session-table.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import type { TransactionState } from '../state/transaction-state.ts';
import { transactionRows } from '../transaction/apply.ts';
import type { WaitingRoom } from '../transaction/waiting-room.ts';
import { type Answer, RefusalReason, rangeInfo, refusal } from './answers.ts';
import { type Command, type CommandBatch, decodeCommandBatch, type RangeSplit } from './command.ts';
import { Leaseholder, type LeaseholderContext, type LeaseholderReplica } from './leaseholder.ts';
import type { PendingBatch } from './proposals.ts';
import type { TakeOver } from './take-over.ts';

export interface ReplicaContext {
  /** Undefined: it will never lead, because it only replays. */
  readonly leaseholder: LeaseholderContext | undefined;
  /** Where gets look first. Undefined: nobody asks anything of it. */
  readonly served: ServedRanges | undefined;
  /** Descriptors of this store that overlap a span, for redirects. */
  readonly covering: (span: Span) => ReturnType<typeof rangeInfo>[];
  readonly newWaitingRoom: () => WaitingRoom;
  /** A command's timestamp passed by: the store's clock must not fall behind it. */
  readonly observe: (timestamp: number) => void;
}

/** What `apply` leaves to be done when its writes are visible. */
export interface Applied {
  readonly replica: Replica;
  readonly index: number;
  readonly term: number;
  readonly batches: readonly { readonly leaseholder: Leaseholder; readonly batch: PendingBatch }[];
  /** Commands that changed intents or records. */
  readonly transactional: readonly Command[];
  /** Set if bounds or members changed: as they were before. */
  readonly before: RangeDescriptor | undefined;
  /** Set if the entries were applied only up to a split, which `applySplit` goes on with. */
  readonly stoppedAt: StoppedAt | undefined;
}

/** An entry that cuts the range, and what comes after it. What must be durable before it takes effect is not decided here. */
export interface StoppedAt {
  readonly replica: Replica;
  readonly split: RangeSplit;
  readonly entry: LogEntry;
  readonly own: { readonly leaseholder: Leaseholder; readonly batch: PendingBatch } | undefined;
  readonly rest: readonly LogEntry[];
}

/** Where every range that arises by a split begins: as if a snapshot had been taken there. */
export const splitPoint: { readonly index: LogIndex; readonly term: Term } = {
  index: toLogIndex(1),
  term: toTerm(1),
};

export class Replica implements LeaseholderReplica {
  /** Replaced, never changed in place: by the log, or with the whole state by a snapshot. */
  descriptor: RangeDescriptor;
  readonly replicaId: ReplicaId;
  storageId: number;
  space: StorageSpace;
  sessions: SessionTable;
  /** Of the entries handed to the engine; visible once the engine's write resolved. */
  appliedIndex: number;
  appliedTerm: number;
  /** Reads see everything up to here: rows, intents and records. */
  visibleIndex: number;
  lastTimestamp: number;
  lastDeletion: number;
  transactions: TransactionState;
  /** Requests that wait for a key: for an intent to be resolved, for a write to be visible. */
  readonly waitingRoom: WaitingRoom;
  leaseholder: Leaseholder | undefined;
  /** Commands that found no session, a known serial or another generation. Never counts where all is well. */
  skippedCommands = 0;
  liveBytes: number;
  historyBytes: number;
  private readonly context: ReplicaContext;
  private gone = false;
  /** What was read and locked before the range was cut off, until somebody has led it. */
  private inheritance: (TakeOver & { readonly kind: 'cutOff' }) | undefined;
  /** What the leader of a term said when it handed over. */
  private handedOver: { readonly term: number; readonly servedUpTo: number } | undefined;
  private soft: SoftState = { role: 'follower', term: 0 as Term, leader: undefined };

  constructor(state: RangeState, context: ReplicaContext) {
    this.descriptor = state.descriptor;
    this.replicaId = toReplicaId(state.replicaId);
    this.storageId = state.storageId;
    this.space = new StorageSpace(state.storageId);
    this.sessions = state.sessions;
    this.appliedIndex = state.appliedIndex;
    this.appliedTerm = state.appliedTerm;
    this.visibleIndex = state.appliedIndex;
    this.lastTimestamp = state.lastTimestamp;
    this.liveBytes = state.liveBytes;
    this.historyBytes = state.historyBytes;
    this.lastDeletion = state.lastDeletion;
    this.transactions = state.transactions;
    this.waitingRoom = context.newWaitingRoom();
    this.context = context;
  }

  get rangeId(): RangeId {
    return this.descriptor.rangeId;
  }

  /** What a copy of it has, about. Unit: bytes. */
  get storedBytes(): number {
    return this.liveBytes + this.historyBytes;
  }

  /** Old versions of so many bytes were deleted here. */
  forgot(bytes: number): void {
    this.historyBytes = Math.max(0, this.historyBytes - bytes);
  }

  onMeasured({ liveBytes, historyBytes }: Pick<RangeState, 'liveBytes' | 'historyBytes'>): void {
    this.liveBytes = liveBytes;
    this.historyBytes = historyBytes;
  }

  get term(): Term {
    return this.soft.term;
  }

  get role(): SoftState['role'] {
    return this.soft.role;
  }

  /** It was removed from the range, and its rows are being deleted: it must not be read any more. */
  get isRemoved(): boolean {
    return this.gone;
  }

  /** The leader that this replica knows. */
  get leaderId(): ReplicaId | undefined {
    return this.soft.leader;
  }

  /** The store of the leader that this replica knows, or undefined. */
  leaderStore(): StoreId | undefined {
    const { leader } = this.soft;
    return this.descriptor.replicas.find((replica) => replica.replicaId === leader)?.storeId;
  }

  /** Role, leader or term changed. Ends and begins leaseholders. */
  onSoftState(state: SoftState): void {
    assert(state.term >= this.soft.term, 'the term does not fall', { term: state.term });
    this.soft = state;
    const leads = state.role === 'leader' && !this.gone;
    if (this.leaseholder !== undefined && (!leads || this.leaseholder.term !== state.term)) {
      this.leaseholder.resign();
      this.leaseholder = undefined;
      this.waitingRoom.wakeAll();
    }
    if (leads && this.leaseholder === undefined)
      this.leaseholder = new Leaseholder(
        this,
        state.term,
        present(this.context.leaseholder, 'what a leaseholder needs'),
        this.takeOver(state.term),
      );
    if (state.term > splitPoint.term + 1) this.dropInheritance();
    this.noteServed();
  }

  /** It arose by a split, beside the leaseholder that knows what was read and locked there. */
  inherit(inheritance: TakeOver & { readonly kind: 'cutOff' }): void {
    this.inheritance = inheritance;
  }

  /** The leader of `term` asks this replica to lead. @param servedUpTo 0: it does not know */
  onHandOver(term: number, servedUpTo: number): void {
    this.handedOver = servedUpTo > 0 ? { term, servedUpTo } : undefined;
  }

  /** What is known of the leaders before `term`, which begins here. */
  private takeOver(term: number): TakeOver {
    const { inheritance, handedOver } = this;
    // The first term that can have a leader.
    if (inheritance !== undefined && term === splitPoint.term + 1) {
      this.inheritance = undefined;
      return inheritance;
    }
    return handedOver?.term === term - 1
      ? { kind: 'handedOver', servedUpTo: handedOver.servedUpTo }
      : { kind: 'unknown' };
  }

  private dropInheritance(): void {
    this.inheritance?.locks.letGo();
    this.inheritance = undefined;
  }

  /** The range goes on without this replica. What is under way is answered; nothing is served any more. */
  retire(): void {
    this.gone = true;
    this.context.served?.hide(this.rangeId);
    this.dropInheritance();
    this.leaseholder?.resign();
    this.leaseholder = undefined;
    this.waitingRoom.wakeAll();
  }

  /** The state of a snapshot, staged in the engine already, takes the place of this one. */
  install(state: RangeState): void {
    // It may have been elected since the log took the snapshot; it evaluates nothing before its own term is applied.
    assert(this.leaseholder?.isReady !== true, 'a leaseholder that serves receives no snapshot', {
      rangeId: this.rangeId,
    });
    assert(state.appliedIndex > this.appliedIndex, 'a snapshot leads forward', {
      rangeId: this.rangeId,
      appliedIndex: this.appliedIndex,
      index: state.appliedIndex,
    });
    this.visibleIndex = state.appliedIndex;
    this.descriptor = state.descriptor;
    this.storageId = state.storageId;
    this.space = new StorageSpace(state.storageId);
    this.historyBytes = state.historyBytes;
    this.sessions = state.sessions;
    this.appliedIndex = state.appliedIndex;
    this.appliedTerm = state.appliedTerm;
    this.lastTimestamp = state.lastTimestamp;
    this.liveBytes = state.liveBytes;
    this.lastDeletion = state.lastDeletion;
    this.transactions = state.transactions;
    this.noteServed();
    this.context.observe(this.lastTimestamp);
    if (state.transactions.intents.size > 0) probe('snapshotHadIntents');
    this.waitingRoom.wakeAll();
  }

  /**
   * Adds the engine operations of `entries` and advances the replicated state.
   * @param after the split that takes effect before them
   */
  apply(entries: readonly LogEntry[], operations: EngineOperation[], after?: StoppedAt): Applied {
    const batches: { leaseholder: Leaseholder; batch: PendingBatch }[] = [];
    const transactional: Command[] = [];
    const { leaseholder, descriptor: before } = this;
    let stoppedAt: StoppedAt | undefined;
    if (after?.own !== undefined) batches.push(after.own);
    for (let at = 0; at < entries.length && stoppedAt === undefined; at++) {
      const entry = present(entries[at], 'entry');
      if (entry.index !== this.appliedIndex + 1) this.refuseOrder(entry); // facts only then: a hot path
      const own = entry.kind === 'command' ? leaseholder?.takeProposed(entry) : undefined;
      const batch =
        entry.kind === 'command' ? (own?.commands ?? decodeCommandBatch(entry.data)) : undefined;
      const answered =
        own === undefined || leaseholder === undefined
          ? undefined
          : { leaseholder, batch: own.batch };
      if (batch?.split && this.takesEffect(batch, batch.split, entry)) {
        const rest = entries.slice(at + 1);
        stoppedAt = { replica: this, split: batch.split, entry, own: answered, rest };
        break;
      }
      this.appliedIndex = entry.index;
      this.appliedTerm = entry.term;
      if (entry.kind === 'configuration') this.applyConfiguration(entry);
      if (batch === undefined) continue;
      const skipped = this.applyBatch(entry, batch, operations, transactional);
      if (answered === undefined) continue;
      // Later commands were evaluated as if this one took effect.
      assert(skipped === 0, 'what this leaseholder evaluated takes effect');
      batches.push(answered);
    }
    return {
      replica: this,
      index: this.appliedIndex,
      term: this.appliedTerm,
      batches,
      transactional,
      before: this.descriptor === before && after === undefined ? undefined : before,
      stoppedAt,
    };
  }

  private refuseOrder({ index }: LogEntry): never {
    const { rangeId, appliedIndex } = this;
    const facts = { rangeId, index, appliedIndex };
    throw new InvariantViolation('entries are applied in order, once each', facts);
  }

  /** A split counts if nothing about the range has changed since it was proposed. */
  private takesEffect(batch: CommandBatch, { left }: RangeSplit, entry: LogEntry): boolean {
    const { descriptor } = this;
    const counts =
      batch.term === entry.term &&
      batch.generation === boundsGeneration(descriptor) &&
      left.generation === descriptor.generation + 1;
    if (!counts) probe('splitVoid');
    return counts;
  }

  /**
   * The range ends at the split key from here on.
   * @returns the state of what begins there: everything that was decided so far holds on both sides
   */
  applySplit({ split, entry, own }: StoppedAt): RangeState {
    const { left, right } = split;
    const { sessions, storageId, lastTimestamp, replicaId } = this;
    assert(
      compareBytes(left.endKey, right.startKey) === 0 &&
        compareBytes(left.startKey, this.descriptor.startKey) === 0 &&
        compareBytes(right.endKey, this.descriptor.endKey) === 0,
      'a split cuts a range in two',
      { rangeId: this.rangeId },
    );
    this.appliedIndex = entry.index;
    this.appliedTerm = entry.term;
    this.descriptor = left;
    if (own?.batch.split !== undefined) own.batch.split.tookEffect = true;
    probe('rangeSplit');
    const transactions = this.transactions.splitAt(right.startKey);
    if (transactions.intents.size > 0) probe('splitMovedIntents');
    this.noteServed();
    const liveBytes = Math.floor(this.liveBytes / 2);
    this.liveBytes -= liveBytes;
    const historyBytes = Math.floor(this.historyBytes / 2);
    this.historyBytes -= historyBytes;
    return {
      descriptor: right,
      replicaId,
      appliedIndex: splitPoint.index,
      appliedTerm: splitPoint.term,
      storageId,
      lastTimestamp,
      liveBytes,
      historyBytes,
      sessions: sessions.copy(),
      lastDeletion: this.lastDeletion,
      transactions,
    };
  }

  /** The writes of `applied` are visible. */
  publish(applied: Applied): void {
    const { transactions, waitingRoom } = this;
    for (const { intents, records } of applied.transactional) {
      for (const change of intents) transactions.applyIntent(change);
      for (const change of records) transactions.applyRecord(change);
    }
    if (applied.transactional.length > 0) this.noteServed();
    this.visibleIndex = applied.index;
    for (const { leaseholder, batch } of applied.batches) leaseholder.publish(batch);
    if (waitingRoom.size > 0)
      for (const { intents } of applied.transactional) waitingRoom.wakeKeys(intents);
    if (applied.before !== undefined) {
      this.leaseholder?.onBounds();
      waitingRoom.wakeAll();
    }
    if (this.leaseholder?.term === applied.term) this.leaseholder.becomeReady(applied.index);
  }

  state(): RangeState {
    return this;
  }

  private applyConfiguration(entry: LogEntry): void {
    const decoded = decodeConfiguration(entry.data);
    assert(decoded.ok, 'a committed configuration decodes', { rangeId: this.rangeId });
    this.descriptor = descriptorAfter(this.descriptor, decoded.configuration);
    this.noteServed();
  }

  /** Whether gets may pass this replica by, and what they must know of it. After anything of that has changed. */
  private noteServed(): void {
    const { served } = this.context;
    // Somebody else may be in its place.
    if (served === undefined || this.gone) return;
    if (this.leaseholder !== undefined && this.transactions.intents.size === 0)
      served.show(this.descriptor, this.storageId);
    else served.hide(this.rangeId);
  }

  private applyBatch(
    entry: LogEntry,
    batch: CommandBatch,
    operations: EngineOperation[],
    transactional: Command[],
  ): number {
    const evaluatedHere =
      batch.generation === boundsGeneration(this.descriptor) && batch.term === entry.term;
    let skipped = 0;
    for (const command of batch.commands)
      if (!evaluatedHere || !this.applyCommand(entry, command, operations, transactional))
        skipped++;
    if (evaluatedHere && batch.expireSessionsBefore > 0)
      if (this.sessions.expireBefore(batch.expireSessionsBefore) > 0) probe('sessionExpired');
    this.skippedCommands += skipped;
    return skipped;
  }

  private applyCommand(
    entry: LogEntry,
    command: Command,
    operations: EngineOperation[],
    transactional: Command[],
  ): boolean {
    const { sessions } = this;
    const { sessionId, serial, timestamp } = command;
    if (timestamp > this.lastTimestamp) {
      this.lastTimestamp = timestamp;
      this.context.observe(timestamp);
    }
    if (command.registerNonce.length > 0) {
      if (sessions.findByNonce(command.registerNonce) !== undefined) return false;
      if (command.evictedSessionId !== 0) {
        probe('sessionExpired');
        sessions.evict(command.evictedSessionId);
      }
      sessions.register(sessionId, command.registerNonce, entry.index);
      return true;
    }
    if (sessionId !== 0) {
      const session = sessions.find(sessionId);
      if (session === undefined) return false;
      if (serial <= session.ackedUpTo || session.results.has(serial)) {
        probe('duplicateCommandSkipped');
        return false;
      }
      sessions.record(session, serial, command.ackedUpTo, {
        index: entry.index,
        timestamp,
        failedCondition: command.failedCondition,
        foundTimestamp: command.foundTimestamp,
        versionTimestamp: command.versionTimestamp,
      });
    }
    for (const write of command.writes) {
      const key = this.space.dataKey(write.key);
      const at = write.versionTimestamp || timestamp;
      if (write.isDelete) {
        operations.push({ type: 'del', key });
        if (at > this.lastDeletion) this.lastDeletion = at;
      } else {
        operations.push({ type: 'put', key, value: asBuffer(write.value) });
        this.liveBytes += write.key.length + write.value.length;
      }
      if (write.previousTimestamp === 0) continue;
      const gone = write.key.length + write.previousValue.length;
      // Half of what both had is a guess: a half may lose more than it was said to have.
      this.liveBytes = Math.max(0, this.liveBytes - gone);
      this.historyBytes += gone;
      operations.push({
        type: 'put',
        key: this.space.historyKey(write.key, at),
        value: asBuffer(write.previousValue),
      });
    }
    if (command.intents.length > 0 || command.records.length > 0) {
      transactionRows(this.space, command, operations);
      transactional.push(command);
    }
    return true;
  }

  info(): ReturnType<typeof rangeInfo> {
    return rangeInfo(this.descriptor, this.leaderStore() ?? 0, this.soft.term);
  }

  notLeaseholder(): Answer {
    return refusal(
      RefusalReason.NOT_LEASEHOLDER,
      `r${this.rangeId}/${this.replicaId} is not the leaseholder`,
      { ranges: [this.info()] },
    );
  }

  keyMismatch(span: Span): Answer {
    const covering = this.context.covering(span);
    return refusal(RefusalReason.RANGE_KEY_MISMATCH, `outside r${this.rangeId}`, {
      ranges: [
        this.info(),
        ...covering.filter((info) => info.descriptor?.rangeId !== this.rangeId),
      ],
    });
  }
}
