/**
 * One member of one range on this store: the replicated state in memory (descriptor, position, sessions), the
 * deterministic application of log entries to it, and, while it leads, a `Leaseholder`. Knows no network and no timers.
 * `apply` decides by state and entry alone: the same entries over the same checkpoint give the same writes anywhere.
 */
import {
  asBuffer,
  assert,
  probe,
  type RangeId,
  type ReplicaId,
  type Span,
  type StoreId,
  type Term,
  toReplicaId,
} from '@flotilla/base';
import { decodeConfiguration, type LogEntry, type SoftState } from '@flotilla/raft';
import type { EngineOperation } from '../engine/engine.ts';
import { descriptorAfter } from '../membership/configuration.ts';
import { boundsGeneration, type RangeDescriptor } from '../range-descriptor.ts';
import type { RangeState } from '../state/range-checkpoint.ts';
import type { SessionTable } from '../state/session-table.ts';
import { StorageSpace } from '../state/storage-keys.ts';
import { type Answer, RefusalReason, rangeInfo, refusal } from './answers.ts';
import { type Command, type CommandBatch, decodeCommandBatch } from './command.ts';
import { Leaseholder, type LeaseholderContext, type LeaseholderReplica } from './leaseholder.ts';
import type { PendingBatch } from './proposals.ts';

export interface ReplicaContext {
  readonly leaseholder: LeaseholderContext;
  /** Descriptors of this store that overlap a span, for redirects. */
  readonly covering: (span: Span) => ReturnType<typeof rangeInfo>[];
  /** A command's timestamp passed by: the store's clock must not fall behind it. */
  readonly observe: (timestamp: number) => void;
}

/** What `apply` leaves to be done when its writes are visible. */
export interface Applied {
  readonly replica: Replica;
  readonly index: number;
  readonly term: number;
  readonly batches: readonly { readonly leaseholder: Leaseholder; readonly batch: PendingBatch }[];
  /** Set if the members changed: as they were before. */
  readonly membersBefore: RangeDescriptor | undefined;
}

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
  lastTimestamp: number;
  leaseholder: Leaseholder | undefined;
  /** Commands that found no session, a known serial or another generation. Never counts where all is well. */
  skippedCommands = 0;
  private readonly context: ReplicaContext;
  private gone = false;
  private soft: SoftState = { role: 'follower', term: 0 as Term, leader: undefined };

  constructor(state: RangeState, context: ReplicaContext) {
    this.descriptor = state.descriptor;
    this.replicaId = toReplicaId(state.replicaId);
    this.storageId = state.storageId;
    this.space = new StorageSpace(state.storageId);
    this.sessions = state.sessions;
    this.appliedIndex = state.appliedIndex;
    this.appliedTerm = state.appliedTerm;
    this.lastTimestamp = state.lastTimestamp;
    this.context = context;
  }

  get rangeId(): RangeId {
    return this.descriptor.rangeId;
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
    }
    if (leads && this.leaseholder === undefined)
      this.leaseholder = new Leaseholder(this, state.term, this.context.leaseholder);
  }

  /** The range goes on without this replica. What is under way is answered; nothing is served any more. */
  retire(): void {
    this.gone = true;
    this.leaseholder?.resign();
    this.leaseholder = undefined;
  }

  /** The state of a snapshot, staged in the engine already, takes the place of this one. */
  install(state: RangeState): void {
    assert(this.leaseholder === undefined, 'a leaseholder receives no snapshot', {
      rangeId: this.rangeId,
    });
    assert(state.appliedIndex > this.appliedIndex, 'a snapshot leads forward', {
      rangeId: this.rangeId,
      appliedIndex: this.appliedIndex,
      index: state.appliedIndex,
    });
    this.descriptor = state.descriptor;
    this.storageId = state.storageId;
    this.space = new StorageSpace(state.storageId);
    this.sessions = state.sessions;
    this.appliedIndex = state.appliedIndex;
    this.appliedTerm = state.appliedTerm;
    this.lastTimestamp = state.lastTimestamp;
    this.context.observe(this.lastTimestamp);
  }

  /** Adds the engine operations of `entries` and advances the replicated state. */
  apply(entries: readonly LogEntry[], operations: EngineOperation[]): Applied {
    const batches: { leaseholder: Leaseholder; batch: PendingBatch }[] = [];
    const { leaseholder, descriptor: before } = this;
    for (const entry of entries) {
      assert(entry.index === this.appliedIndex + 1, 'entries are applied in order, once each', {
        rangeId: this.rangeId,
        index: entry.index,
        appliedIndex: this.appliedIndex,
      });
      this.appliedIndex = entry.index;
      this.appliedTerm = entry.term;
      if (entry.kind === 'configuration') this.applyConfiguration(entry);
      if (entry.kind !== 'command') continue;
      const own = leaseholder?.takeProposed(entry);
      const skipped = this.applyBatch(
        entry,
        own?.commands ?? decodeCommandBatch(entry.data),
        operations,
      );
      if (own === undefined || leaseholder === undefined) continue;
      // Later commands were evaluated as if this one took effect.
      assert(skipped === 0, 'what this leaseholder evaluated takes effect', {
        rangeId: this.rangeId,
        index: entry.index,
        skipped,
      });
      batches.push({ leaseholder, batch: own.batch });
    }
    return {
      replica: this,
      index: this.appliedIndex,
      term: this.appliedTerm,
      batches,
      membersBefore: this.descriptor === before ? undefined : before,
    };
  }

  /** The writes of `applied` are visible. */
  publish(applied: Applied): void {
    for (const { leaseholder, batch } of applied.batches) leaseholder.publish(batch);
    if (this.leaseholder?.term === applied.term) this.leaseholder.becomeReady();
  }

  state(): RangeState {
    return this;
  }

  private applyConfiguration(entry: LogEntry): void {
    const decoded = decodeConfiguration(entry.data);
    assert(decoded.ok, 'a committed configuration decodes', { rangeId: this.rangeId });
    this.descriptor = descriptorAfter(this.descriptor, decoded.configuration);
  }

  private applyBatch(entry: LogEntry, batch: CommandBatch, operations: EngineOperation[]): number {
    const evaluatedHere =
      batch.generation === boundsGeneration(this.descriptor) && batch.term === entry.term;
    let skipped = 0;
    for (const command of batch.commands)
      if (!evaluatedHere || !this.applyCommand(entry, command, operations)) skipped++;
    if (evaluatedHere && batch.expireSessionsBefore > 0)
      if (this.sessions.expireBefore(batch.expireSessionsBefore) > 0) probe('sessionExpired');
    this.skippedCommands += skipped;
    return skipped;
  }

  private applyCommand(entry: LogEntry, command: Command, operations: EngineOperation[]): boolean {
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
      });
    }
    for (const write of command.writes) {
      const key = this.space.dataKey(write.key);
      if (write.isDelete) operations.push({ type: 'del', key });
      else operations.push({ type: 'put', key, value: asBuffer(write.value) });
      if (write.previousTimestamp === 0) continue;
      operations.push({
        type: 'put',
        key: this.space.historyKey(write.key, timestamp),
        value: asBuffer(write.previousValue),
      });
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
