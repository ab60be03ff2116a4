/** The steps of transactions, over the router's dispatcher. Checks arguments and starts operations; see the contract. */
import { DbError } from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import { checkBatch, checkKey } from '../arguments.ts';
import type { ClientLink } from '../client-link.ts';
import { GetOperation } from '../get-operation.ts';
import type { CallRange } from '../range-call.ts';
import type { OperationOptions, WriteOutcome } from '../router-api.ts';
import { ScanOperation } from '../scan.ts';
import type { StoreRequests } from '../store-requests.ts';
import { hullOf, WriteOperation, type WriteParts } from '../write-operation.ts';
import { computationBytes } from './computation.ts';
import { EvaluateOperation } from './evaluate-operation.ts';
import { LocateOperation } from './locate-operation.ts';
import { PrepareOperation } from './prepare-operation.ts';
import { Pusher } from './pusher.ts';
import { readCheckBytes } from './read-check.ts';
import { RefreshOperation } from './refresh-operation.ts';
import {
  DecideOperation,
  PreventOperation,
  QueryOperation,
  ResolveOperation,
} from './settle-operations.ts';
import { SnapshotReading } from './snapshot-reads.ts';
import type { TransactionParts } from './spread-operation.ts';
import type {
  DecidedState,
  Decision,
  EvaluatedKeys,
  KeyEvaluation,
  LiveTransaction,
  Located,
  LockOptions,
  Prepare,
  PrepareOptions,
  PrepareOutcome,
  ReadCheck,
  RecordAddress,
  RecordQuery,
  RecordState,
  Resolution,
  SnapshotRows,
  SnapshotScan,
  SnapshotValues,
  TransactionContext,
  TransactionReadOptions,
  TransactionRecord,
  TransactionRouter,
  TransactionWrite,
  WaitEdge,
} from './transaction-api.ts';

export interface TransactionRouterParts extends WriteParts {
  readonly link: ClientLink;
  readonly requests: StoreRequests;
  /** At the end of the turn, before its frames leave. */
  readonly afterTurn: (callback: () => void) => void;
  /** @throws DbError CLOSED */
  readonly checkOpen: () => void;
  readonly isOpen: () => boolean;
}

type WireResolution = Parameters<typeof kv.Resolution.encode>[0];

/** Between questions to a store about locks until it answers. Unit: ms. */
const keepEveryMs = 400;
const keepTimeoutMs = 1000;
const releaseTimeoutMs = 2000;
/** By then the record says it. */
const announceTimeoutMs = 1000;

export class RangeTransactionRouter implements TransactionRouter {
  readonly clientId: string;
  readonly pusher: Pusher;
  private readonly parts: TransactionRouterParts;
  private readonly base: TransactionParts;
  /** Of this turn. */
  private announcements: Resolution[] = [];

  constructor(parts: TransactionRouterParts) {
    const { dispatcher, admission, link } = parts;
    this.parts = parts;
    this.clientId = link.clientId;
    this.base = { dispatcher, admission, coordinator: link.clientId };
    const { clock } = dispatcher;
    const pauseMs = (): number => dispatcher.jittered(dispatcher.timings.pushPauseMs);
    this.pusher = new Pusher({ clock, settler: this, pauseMs });
  }

  now(): number {
    return this.parts.link.now();
  }

  get followerReadLagMs(): number {
    return this.parts.dispatcher.timings.followerReadLagMs;
  }

  async get(
    context: TransactionContext,
    keys: readonly Uint8Array[],
    options: TransactionReadOptions = {},
  ): Promise<SnapshotValues> {
    return this.read(context, keys, undefined, options);
  }

  async lock(
    context: TransactionContext,
    keys: readonly Uint8Array[],
    options: LockOptions,
  ): Promise<SnapshotValues> {
    return this.read(context, keys, options, options);
  }

  async scan(
    context: TransactionContext,
    { startKey, endKey, maxRows, reverse, program }: SnapshotScan,
    options: TransactionReadOptions = {},
  ): Promise<SnapshotRows> {
    this.parts.checkOpen();
    const { dispatcher, admission } = this.parts;
    const { rows, evaluated, from, next, readTimestamp } = await new ScanOperation(
      dispatcher,
      admission,
      { span: { startKey, endKey }, maxRows, reverse, program },
      options,
      { context, coordinator: this.clientId, now: this.now() },
    ).start();
    const covered = reverse ? { startKey: next, endKey } : { startKey, endKey: next };
    return { rows, evaluated, from, covered, readTimestamp };
  }

  async evaluate(
    context: TransactionContext,
    evaluation: KeyEvaluation,
    options: OperationOptions = {},
  ): Promise<EvaluatedKeys> {
    this.parts.checkOpen();
    for (const key of evaluation.keys) checkKey(key);
    if (evaluation.keys.length === 0)
      throw new DbError('INVALID_ARGUMENT', 'an evaluation names at least one key');
    const now = this.now();
    return new EvaluateOperation(this.base, context, evaluation, { ...options, now }).start();
  }

  async locate(
    keys: readonly Uint8Array[],
    readChecks: readonly ReadCheck[],
    options?: OperationOptions,
  ): Promise<readonly Located[]> {
    this.parts.checkOpen();
    if (keys.length + readChecks.length === 0) return [];
    return new LocateOperation(this.base, keys, readChecks, options).start();
  }

  async write(
    context: TransactionContext,
    write: TransactionWrite,
    options: TransactionReadOptions = {},
  ): Promise<WriteOutcome> {
    this.parts.checkOpen();
    const { readChecks, demandedTimestamp, maxTimestamp, computations = [] } = write;
    const bytes = checkBatch(write) + readCheckBytes(readChecks) + computationBytes(computations);
    const hull = hullOf(write, readChecks, computations);
    return new WriteOperation(this.parts, write, hull, bytes, options, {
      context,
      coordinator: this.clientId,
      readChecks,
      computations,
      demandedTimestamp,
      maxTimestamp,
      onWaiting: options.onWaiting,
    }).start();
  }

  async prepare(
    context: TransactionContext,
    prepare: Prepare,
    options: PrepareOptions = {},
  ): Promise<PrepareOutcome> {
    this.parts.checkOpen();
    const { conditions, mutations, readChecks } = prepare;
    const bytes =
      checkBatch({ conditions, mutations, deleteSpans: [] }, Infinity) + readCheckBytes(readChecks);
    if (mutations.length === 0)
      throw new DbError('INVALID_ARGUMENT', 'a promise names at least one key');
    return new PrepareOperation(this.base, context, prepare, options, bytes).start();
  }

  async refresh(
    context: TransactionContext,
    checks: readonly ReadCheck[],
    to: number,
    options?: TransactionReadOptions,
  ): Promise<boolean> {
    this.parts.checkOpen();
    if (checks.length === 0) return true;
    return new RefreshOperation(this.base, context, checks, to, options).start();
  }

  async query(record: RecordQuery, options?: OperationOptions): Promise<TransactionRecord> {
    this.parts.checkOpen();
    return new QueryOperation(this.base, record, options).start();
  }

  async decide(decision: Decision, options?: OperationOptions): Promise<DecidedState> {
    this.parts.checkOpen();
    return new DecideOperation(this.base, decision, options).start();
  }

  async prevent(
    transactionId: Uint8Array,
    commitTimestamp: number,
    keys: readonly Uint8Array[],
    options?: OperationOptions,
  ): Promise<boolean> {
    this.parts.checkOpen();
    if (keys.length === 0) return true;
    const { base } = this;
    return new PreventOperation(base, transactionId, commitTimestamp, keys, options).start();
  }

  async resolve(resolutions: readonly Resolution[], options?: OperationOptions): Promise<void> {
    this.parts.checkOpen();
    const some = resolutions.some(
      ({ keys, forgetAnchorKey }) => keys.length > 0 || forgetAnchorKey !== undefined,
    );
    if (some) await new ResolveOperation(this.base, resolutions, options).start();
  }

  announce(transactionId: Uint8Array, commitTimestamp: number, keys: readonly Uint8Array[]): void {
    if (keys.length === 0) return;
    const { announcements } = this;
    announcements.push({ transactionId, committed: true, commitTimestamp, keys, undecided: true });
    if (announcements.length === 1) this.parts.afterTurn(() => this.sendAnnouncements());
  }

  /** One message per range, to whoever leads it as far as is known. A lost one costs a wait. */
  private sendAnnouncements(): void {
    const { announcements } = this;
    this.announcements = [];
    if (!this.parts.isOpen()) return;
    const { cache } = this.parts.dispatcher;
    const byRange = new Map<CallRange, Resolution[]>();
    for (const announcement of announcements) {
      const keysOf = new Map<CallRange, Uint8Array[]>();
      for (const key of announcement.keys) {
        const range = cache.find(key)?.range;
        if (range === undefined) continue;
        const keys = keysOf.get(range);
        if (keys === undefined) keysOf.set(range, [key]);
        else keys.push(key);
      }
      for (const [range, keys] of keysOf) {
        const there = byRange.get(range);
        const part = { ...announcement, keys };
        if (there === undefined) byRange.set(range, [part]);
        else there.push(part);
      }
    }
    for (const [{ rangeId, generation, state }, resolutions] of byRange) {
      if (state.leaseholder === 0) continue;
      const resolve = { resolutions: resolutions.map(wireAnnouncement) };
      const request = { requestId: 0, timeoutMs: announceTimeoutMs, rangeId, generation, resolve };
      this.parts.link.send(state.leaseholder, kv.Request.encode(request).finish());
    }
  }

  async recover(record: RecordAddress, options?: OperationOptions): Promise<RecordState> {
    this.parts.checkOpen();
    return this.pusher.recover(record, options);
  }

  async finish(
    transaction: RecordAddress & { readonly keys: readonly Uint8Array[] },
  ): Promise<void> {
    this.parts.checkOpen();
    await this.pusher.finish(transaction);
  }

  releaseLocks(storeId: number, transactionIds: readonly Uint8Array[]): void {
    if (!this.parts.isOpen()) return;
    this.parts.requests.ask({
      to: storeId,
      body: { releaseLocks: { transactionIds: [...transactionIds] } },
      everyMs: keepEveryMs,
      timeoutMs: releaseTimeoutMs,
      onAnswer: () => true,
      onEnd: () => {},
    });
  }

  keepLocks(storeId: number, live: readonly LiveTransaction[]): Promise<readonly Uint8Array[]> {
    if (!this.parts.isOpen()) return Promise.resolve([]);
    return new Promise((resolve) => {
      let unknown: readonly Uint8Array[] = [];
      this.parts.requests.ask({
        to: storeId,
        body: { keepLocks: { transactions: live.map(wireLive) } },
        everyMs: keepEveryMs,
        timeoutMs: keepTimeoutMs,
        onAnswer: (response) => {
          unknown = (response.keepLocks?.unknown ?? []).map((id) => Uint8Array.from(id));
          return true;
        },
        onEnd: () => resolve(unknown),
      });
    });
  }

  private async read(
    context: TransactionContext,
    keys: readonly Uint8Array[],
    lock: LockOptions | undefined,
    options: TransactionReadOptions,
  ): Promise<SnapshotValues> {
    this.parts.checkOpen();
    for (const key of keys) checkKey(key);
    const { dispatcher, admission } = this.parts;
    const reading = new SnapshotReading(context, {
      coordinator: this.clientId,
      now: () => this.now(),
      followerReadLagMs: this.followerReadLagMs,
      lock,
      onWaiting: options.onWaiting,
    });
    if (keys.length === 0) return { values: [], skipped: [], readTimestamp: context.readTimestamp };
    const get = new GetOperation(dispatcher, admission, keys, options, reading);
    const values = await get.start();
    return { values, skipped: reading.skipped, readTimestamp: reading.readTimestamp };
  }
}

function wireAnnouncement({ transactionId, commitTimestamp, keys }: Resolution): WireResolution {
  return { transactionId, committed: true, commitTimestamp, keys: [...keys], undecided: true };
}

function wireLive(live: LiveTransaction): Parameters<typeof kv.LiveTransaction.encode>[0] {
  return { id: live.id, startedAt: live.startedAt, edges: live.edges.map(wireEdge) };
}

function wireEdge(edge: WaitEdge): Parameters<typeof kv.WaitEdge.encode>[0] {
  return {
    waiter: Buffer.from(edge.waiter, 'hex'),
    waiterStartedAt: edge.waiterStartedAt,
    holder: Buffer.from(edge.holder, 'hex'),
    holderStartedAt: edge.holderStartedAt,
  };
}
