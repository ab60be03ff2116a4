/** Puts the parts of a router together, checks what callers ask for, and hands it on. */
import {
  type Clock,
  DbError,
  equalBytes,
  type Logger,
  noClusterId,
  type Prng,
  type Span,
  type StoreId,
  silentLogger,
  type Transport,
  TurnEnd,
} from '@flotilla/base';
import { kv, type RangeInfo, type StoreReport } from '@flotilla/shard/protocol';
import { Admission } from './admission.ts';
import { checkBatch, checkKey } from './arguments.ts';
import { ChangeMembersOperation } from './change-members-operation.ts';
import { ClientLink, type Response } from './client-link.ts';
import { readStoreRows } from './cluster-rows.ts';
import { Dispatcher } from './dispatcher.ts';
import { GetOperation } from './get-operation.ts';
import {
  defaultRouterLimits,
  defaultRouterTimings,
  type RouterLimits,
  type RouterTimings,
} from './limits.ts';
import { LookupOperation } from './lookup-operation.ts';
import { type Discovery, Lookups } from './lookups.ts';
import { RouterPeers } from './peers.ts';
import type {
  DiscoveredStore,
  KvRow,
  KvValue,
  MembersChange,
  OperationOptions,
  RangeConfiguration,
  RangeConfigurationChange,
  Router,
  ScanOptions,
  StatusOptions,
  StoreInspection,
  StoreStatus,
  WriteBatch,
  WriteOutcome,
} from './router-api.ts';
import { scanSpan } from './scan.ts';
import { Sessions } from './sessions.ts';
import { configureSpan, readConfigurations } from './span-configuration.ts';
import { SplitOperation } from './split-operation.ts';
import { type Place, StorePlaces } from './store-places.ts';
import { type RequestBody, StoreRequests } from './store-requests.ts';
import { RangeTransactionRouter } from './transaction/range-transaction-router.ts';
import type { TransactionRouter } from './transaction/transaction-api.ts';
import { TransferOperation } from './transfer-operation.ts';
import { hullOf, WriteOperation, type WriteParts } from './write-operation.ts';

export interface RouterOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger?: Logger;
  readonly timings?: Partial<RouterTimings>;
  readonly limits?: Partial<RouterLimits>;
  /** Where this process runs: reads of the past go to the nearest stores. Default: not known. */
  readonly place?: Place;
  /** The store that runs in this process: it comes to lead what is asked here most. */
  readonly home?: StoreId | undefined;
}

/** The transport stays the caller's: `close` leaves it open. */
export function createRouter(options: RouterOptions): Router {
  return new RouterOfRanges(options);
}

function placeOf({ machine, zone }: StoreReport): Place {
  return { machine: machine ?? undefined, zone: zone ?? undefined };
}

const statusEveryMs = 500;

class RouterOfRanges implements Router {
  private readonly link: ClientLink;
  private readonly dispatcher: Dispatcher;
  private readonly admission: Admission;
  private readonly requests: StoreRequests;
  private readonly writeParts: WriteParts;
  readonly transactions: TransactionRouter;
  readonly peers: RouterPeers;
  private isClosed = false;

  constructor(options: RouterOptions) {
    const { transport, clock, prng, logger = silentLogger } = options;
    const timings = { ...defaultRouterTimings, ...options.timings };
    const limits = { ...defaultRouterLimits, ...options.limits };
    const places = new StorePlaces({ clock, own: options.place, read: () => this.readPlaces() });
    const distance = (storeId: number): number => places.distance(storeId);
    this.dispatcher = new Dispatcher({ clock, prng, timings, limits, distance });
    this.admission = new Admission(limits);
    this.requests = new StoreRequests(clock, kv.Request.encode);
    const turnEnd = new TurnEnd(clock, ['announce', 'send'] as const);
    this.link = new ClientLink({
      transport,
      clock: turnEnd.clockOf('send'),
      prng,
      logger,
      home: options.home,
      onResponse: (response, fromStore) => this.onResponse(response, fromStore),
      onPeerMessage: (message, from) => this.peers.onMessage(from, message),
      onHeard: (storeId) => this.dispatcher.onHeard(storeId),
      onUnreachable: (storeId) => this.dispatcher.onUnreachable(storeId),
      onConnection: (connected) => this.dispatcher.onConnection(connected),
    });
    this.requests.wire(this.link);
    this.peers = new RouterPeers(this.link.clientId, (to, message) => {
      if (!this.isClosed) this.link.sendToClient(to, message);
    });
    this.writeParts = {
      dispatcher: this.dispatcher,
      admission: this.admission,
      sessions: new Sessions(this.dispatcher, this.link.clientId),
    };
    const transactions = new RangeTransactionRouter({
      ...this.writeParts,
      link: this.link,
      requests: this.requests,
      afterTurn: turnEnd.clockOf('announce').afterTurn,
      checkOpen: () => this.checkOpen(),
      isOpen: () => !this.isClosed,
    });
    this.transactions = transactions;
    const lookups = new Lookups(this.dispatcher, this.discovery());
    this.dispatcher.wire(this.link, lookups, transactions.pusher);
  }

  // Not `async`: that would be a second promise per read.
  get(
    keys: readonly Uint8Array[],
    options?: OperationOptions,
  ): Promise<readonly (KvValue | undefined)[]> {
    try {
      this.checkOpen();
      for (const key of keys) checkKey(key);
    } catch (error) {
      return Promise.reject(error);
    }
    if (keys.length === 0) return Promise.resolve([]);
    return new GetOperation(this.dispatcher, this.admission, keys, options).start();
  }

  scan(span: Span, options?: ScanOptions): AsyncIterable<readonly KvRow[]> {
    this.checkOpen();
    return scanSpan(this.dispatcher, this.admission, span, options);
  }

  write(batch: WriteBatch, options?: OperationOptions): Promise<WriteOutcome> {
    let bytes: number;
    let hull: Span;
    try {
      this.checkOpen();
      bytes = checkBatch(batch);
      hull = hullOf(batch);
    } catch (error) {
      return Promise.reject(error);
    }
    return new WriteOperation(this.writeParts, batch, hull, bytes, options).start();
  }

  async lookup(key: Uint8Array, options?: OperationOptions): Promise<RangeInfo> {
    this.checkOpen();
    return new LookupOperation(this.dispatcher, this.admission, key, options).start();
  }

  discover(options: { readonly timeoutMs: number }): Promise<readonly DiscoveredStore[]> {
    this.checkOpen();
    return new Promise((resolve) => {
      const found = new Map<string, DiscoveredStore>();
      this.requests.ask({
        to: 0,
        body: { discover: {} },
        // Asked twice: one frame may be lost.
        everyMs: Math.max(1, options.timeoutMs / 2),
        timeoutMs: options.timeoutMs,
        onAnswer: (response) => {
          const store = discoveredStore(response);
          if (store !== undefined) found.set(storeKey(store), store);
          return false;
        },
        onEnd: () => resolve([...found.values()].sort((a, b) => a.storeId - b.storeId)),
      });
    });
  }

  async status(storeId: StoreId, options?: StatusOptions): Promise<StoreStatus> {
    const status = { rangeId: options?.rangeId ?? 0 };
    return this.askStore(storeId, { status }, (answer) => answer.status, options);
  }

  async inspect(storeId: StoreId, options?: OperationOptions): Promise<StoreInspection> {
    return this.askStore(storeId, { inspect: {} }, (answer) => answer.inspect, options);
  }

  async changeMembers(
    key: Uint8Array,
    change: MembersChange,
    options?: OperationOptions,
  ): Promise<void> {
    this.checkOpen();
    const { dispatcher, admission } = this;
    return new ChangeMembersOperation(dispatcher, admission, key, change, options).start();
  }

  async transferLease(key: Uint8Array, to: StoreId, options?: OperationOptions): Promise<void> {
    this.checkOpen();
    return new TransferOperation(this.dispatcher, this.admission, key, to, options).start();
  }

  async split(
    key: Uint8Array,
    options?: OperationOptions,
  ): Promise<NonNullable<RangeInfo['descriptor']>> {
    this.checkOpen();
    checkKey(key);
    return new SplitOperation(this.dispatcher, this.admission, key, options).start();
  }

  configureSpan(
    span: Span,
    change: RangeConfigurationChange,
    options?: OperationOptions,
  ): Promise<RangeConfiguration | undefined> {
    return configureSpan(this, span, change, options);
  }

  readConfigurations(options?: OperationOptions): Promise<readonly RangeConfiguration[]> {
    return readConfigurations(this, options);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    this.dispatcher.closeAll('CLOSED', 'the router was closed');
    this.requests.close();
    this.link.close();
  }

  private async readPlaces(): Promise<ReadonlyMap<number, Place>> {
    const rows = await readStoreRows(this);
    return new Map([...rows].map(([storeId, { report }]) => [storeId, placeOf(report)]));
  }

  /** A question to one store about itself. */
  private askStore<Result extends object>(
    storeId: StoreId,
    body: RequestBody,
    resultOf: (response: Response) => Result | null | undefined,
    options: OperationOptions = {},
  ): Promise<Result> {
    this.checkOpen();
    const { signal } = options;
    const timeoutMs = options.timeoutMs ?? this.dispatcher.timings.operationTimeoutMs;
    return new Promise((resolve, reject) => {
      let result: Result | undefined;
      const end = (): void => {
        signal?.removeEventListener('abort', abort);
        if (result !== undefined) resolve(result);
        else reject(new DbError('UNAVAILABLE', `store ${storeId} does not answer`));
      };
      const abort = (): void => {
        forget();
        reject(new DbError('CANCELLED', 'the caller cancelled'));
      };
      const forget = this.requests.ask({
        to: storeId,
        body,
        everyMs: statusEveryMs,
        timeoutMs,
        onAnswer: (response) => {
          result = resultOf(response) ?? undefined;
          return result !== undefined;
        },
        onEnd: end,
      });
      if (signal?.aborted === true) abort();
      else signal?.addEventListener('abort', abort);
    });
  }

  private onResponse(response: Response, fromStore: number): void {
    // Few store requests are ever open, many calls are: but both draw their ids from one sequence.
    if (!this.dispatcher.onResponse(response, fromStore)) this.requests.onResponse(response);
  }

  /** How look-ups find the meta range. */
  private discovery(): Discovery {
    let forget: (() => void) | undefined;
    const stop = (): void => {
      forget?.();
      forget = undefined;
    };
    return {
      stop,
      start: (onAnswer) => {
        stop();
        const { timings } = this.dispatcher;
        forget = this.requests.ask({
          to: 0,
          body: { discover: {} },
          everyMs: this.dispatcher.jittered(timings.discoverEveryMs),
          timeoutMs: Number.MAX_SAFE_INTEGER,
          onAnswer: (response) => {
            const { discover } = response;
            if (discover?.clusterId) this.link.adoptCluster(discover.clusterId);
            if (this.isOurs(discover?.clusterId) && discover?.meta) {
              this.dispatcher.cache.learn(discover.meta);
              onAnswer();
            }
            return false;
          },
          onEnd: () => {},
        });
      },
    };
  }

  private isOurs(clusterId: Uint8Array | null | undefined): boolean {
    const ours = this.link.clusterId;
    return !!clusterId && !equalBytes(ours, noClusterId) && equalBytes(clusterId, ours);
  }

  private checkOpen(): void {
    if (this.isClosed) throw new DbError('CLOSED', 'the router is closed');
  }
}

function discoveredStore(response: Response): DiscoveredStore | undefined {
  const { discover } = response;
  if (!discover) return undefined;
  return {
    storeId: discover.storeId ?? 0,
    clusterId: Uint8Array.from(discover.clusterId ?? []),
    version: discover.version ?? '',
    knownStoreIds: (discover.knownStoreIds ?? []).slice(),
  };
}

function storeKey(store: DiscoveredStore): string {
  return `${store.storeId} ${Buffer.from(store.clusterId).toString('hex')}`;
}
