/**
 * The kv channel of a store: reads frames, refuses what is for another cluster, range or time, and hands the rest to
 * whoever serves it. Bad bytes are counted and dropped; nothing that a client sends may throw here.
 */
import {
  asBuffer,
  type Clock,
  compareBytes,
  type FrameHeader,
  FrameReader,
  keyBytesMax,
  keySuccessor,
  type Logger,
  type Span,
  type StoreId,
  toRangeId,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import type { StoreLimits } from '../limits.ts';
import { boundsGeneration } from '../range-descriptor.ts';
import type { FollowerReads } from '../reads/follower-reads.ts';
import type { Reads } from '../reads/reads.ts';
import type { ServedRanges } from '../reads/served-ranges.ts';
import {
  type Answer,
  busyRefusal,
  type Caller,
  RefusalReason,
  refusal,
} from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import type { Replica } from '../replica/replica.ts';
import type { Admission } from './admission.ts';
import { SeenRequests } from './seen-requests.ts';
import type { TransactionRequests } from './transaction-requests.ts';

type Request = flotilla.kv.Request;

/** What the server asks of the rest of the store. */
export interface RequestServerOptions {
  readonly clock: Clock;
  readonly limits: StoreLimits;
  readonly admission: Admission;
  readonly logger: Logger;
  readonly replicas: ReadonlyMap<number, Replica>;
  readonly served: ServedRanges;
  /** Undefined until the store is founded. */
  readonly reads: () => Reads | undefined;
  /** As `reads`. */
  readonly transactions: () => TransactionRequests | undefined;
  readonly followerReads: () => FollowerReads | undefined;
  readonly isOurs: (header: FrameHeader) => boolean;
  readonly observeHeader: (header: FrameHeader) => void;
  readonly discover: (request: flotilla.kv.DiscoverRequest.$Properties) => Answer;
  readonly status: (request: flotilla.kv.StatusRequest.$Properties) => Answer;
  readonly bootstrap: (request: flotilla.kv.BootstrapRequest.$Properties) => Promise<Answer>;
  /** Asked of the leaseholder: hands its range to another store. */
  readonly transferLease: (
    replica: Replica,
    request: flotilla.kv.TransferLeaseRequest.$Properties,
  ) => Answer;
  /** Asked of the leaseholder. Answers later, unless refused at once. */
  readonly changeReplicas: (
    caller: Caller,
    replica: Replica,
    request: flotilla.kv.ChangeReplicasRequest.$Properties,
  ) => Answer | undefined;
  /** A request of a range was admitted. */
  readonly onRequest: (request: flotilla.kv.Request, clientId: string) => void;
  /** Asked of the leaseholder. Answers later. */
  readonly split: (
    caller: Caller,
    replica: Replica,
    request: flotilla.kv.SplitRequest.$Properties,
  ) => void;
  /** From another store of the cluster; nobody waits for an answer. */
  readonly onPeerRequest: (from: StoreId, request: flotilla.kv.Request) => void;
  readonly onFatal: (error: unknown) => void;
}

const defaultTimeoutMs = 10_000;

export class RequestServer {
  private readonly options: RequestServerOptions;
  private readonly reader: FrameReader;
  private readonly seen: SeenRequests;
  private stopping = false;
  /** Frames and messages that did not decode. */
  refusedBytes = 0;
  /** Admitted ones. */
  readonly requestsByKind: Record<RequestKind, number> = {
    get: 0,
    scan: 0,
    write: 0,
    transaction: 0,
    other: 0,
  };
  /** Copies of writes that were delivered before. */
  doubledWrites = 0;

  constructor(options: RequestServerOptions) {
    this.options = options;
    this.seen = new SeenRequests(options.limits);
    this.reader = new FrameReader({ clock: options.clock });
  }

  /** From now on requests to ranges are answered STOPPING. */
  refuseNewWork(): void {
    this.stopping = true;
  }

  onFrame(frame: Uint8Array): void {
    try {
      const read = this.reader.read(asBuffer(frame));
      if (!read.ok) {
        this.refusedBytes++;
        this.options.logger.warn({ reason: read.reason }, 'frame_refused');
        return;
      }
      this.options.observeHeader(read.header);
      for (const message of read.messages) this.onMessage(read.header, message);
    } catch (error) {
      this.options.onFatal(error);
    }
  }

  private onMessage(header: FrameHeader, message: Uint8Array): void {
    let request: Request;
    try {
      request = flotilla.kv.Request.decode(asBuffer(message));
    } catch (error) {
      this.refusedBytes++;
      this.options.logger.warn({ error: String(error) }, 'request_refused');
      return;
    }
    if (header.sender.kind === 'store') {
      if (this.options.isOurs(header)) this.options.onPeerRequest(header.sender.storeId, request);
      return;
    }
    const { clientId } = header.sender;
    if (request.discover || request.status || request.bootstrap) this.serveStore(clientId, request);
    else if (request.releaseLocks || request.keepLocks || request.inspect)
      this.serveLocks(header, clientId, request);
    else this.serveRange(header, clientId, request, message.length);
  }

  private serveStore(clientId: string, request: Request): void {
    const { admission, discover, status, bootstrap, onFatal } = this.options;
    const { requestId } = request;
    if (request.discover) admission.sendUncounted(clientId, requestId, discover(request.discover));
    else if (request.status) admission.sendUncounted(clientId, requestId, status(request.status));
    else
      bootstrap(request.bootstrap ?? {}).then(
        (answer) => admission.sendUncounted(clientId, requestId, answer),
        onFatal,
      );
  }

  private serveLocks(header: FrameHeader, clientId: string, request: Request): void {
    const { admission, transactions, isOurs } = this.options;
    const answer = isOurs(header)
      ? transactions()?.serveStore(clientId, request)
      : refusal(RefusalReason.WRONG_CLUSTER, 'this store belongs to another cluster');
    admission.sendUncounted(
      clientId,
      request.requestId,
      answer ?? refusal(RefusalReason.NOT_BOOTSTRAPPED, 'this store is not part of a cluster yet'),
    );
  }

  private serveRange(header: FrameHeader, clientId: string, request: Request, bytes: number): void {
    const { admission, clock, limits } = this.options;
    // Before anything is decided: also a write that is refused must not come back.
    if (request.write && !this.seen.isNew(clientId, request.requestId)) {
      this.doubledWrites++;
      return;
    }
    const storageId = this.storageOfGet(header, request);
    const target = storageId === 0 ? this.targetOf(header, request) : undefined;
    if (target?.ok === false) {
      admission.sendUncounted(clientId, request.requestId, target.refused);
      return;
    }
    const deadlineMs =
      clock.nowMs() + (request.timeoutMs > 0 ? request.timeoutMs : defaultTimeoutMs);
    const caller = admission.admit(clientId, request.requestId, bytes, deadlineMs);
    if (caller === undefined) {
      const busy = busyRefusal(limits, 'too much is under way');
      admission.sendUncounted(clientId, request.requestId, busy);
      return;
    }
    this.requestsByKind[kindOf(request)]++;
    this.options.onRequest(request, clientId);
    const answer =
      this.getOne(storageId, request) ??
      this.dispatch(caller, target ?? this.targetOf(header, request), request);
    if (answer !== undefined) admission.send(caller, answer);
  }

  /** Where the key of a get lies that need not ask the replica; 0: the request is none of these. */
  private storageOfGet(
    header: FrameHeader,
    { rangeId, generation, get, transaction }: Request,
  ): number {
    const { served, reads, isOurs } = this.options;
    if (!get || transaction || get.lock || get.program?.length || get.keys?.length !== 1) return 0;
    const [key] = get.keys;
    if (key === undefined || key.length > keyBytesMax || this.stopping) return 0;
    if (reads() === undefined || !isOurs(header)) return 0;
    return served.storageOf(rangeId, generation, key);
  }

  /** @param storageId of `storageOfGet` */
  private getOne(storageId: number, { rangeId, get }: Request): Answer | undefined {
    const key = get?.keys?.[0];
    if (storageId === 0 || key === undefined) return undefined;
    return this.options.reads()?.getOne(toRangeId(rangeId), storageId, key);
  }

  /** What serves the request, or why nothing here does. */
  private targetOf(header: FrameHeader, request: Request): Target {
    const reads = this.options.reads();
    if (reads === undefined)
      return refused(RefusalReason.NOT_BOOTSTRAPPED, 'this store is not part of a cluster yet');
    if (!this.options.isOurs(header))
      return refused(RefusalReason.WRONG_CLUSTER, 'this store belongs to another cluster');
    if (this.stopping) return refused(RefusalReason.STOPPING, 'the store is stopping');
    const replica = this.options.replicas.get(request.rangeId);
    if (replica === undefined)
      return refused(RefusalReason.RANGE_NOT_FOUND, `no replica of r${request.rangeId} here`);
    const { leaseholder } = replica;
    const { generation } = replica.descriptor;
    const mayFollow = request.followerRead && Boolean(request.get ?? request.scan);
    // Somebody knows a newer shape of the range than this replica: whoever made it leads.
    if ((leaseholder === undefined && !mayFollow) || request.generation > generation)
      return { ok: false, refused: replica.notLeaseholder() };
    // A change of replicas alone leaves the bounds that the client knows right.
    if (request.generation < boundsGeneration(replica.descriptor))
      return { ok: false, refused: replica.keyMismatch(hullOf(request) ?? replica.descriptor) };
    return { ok: true, replica, leaseholder, reads };
  }

  private dispatch(caller: Caller, target: Target, request: Request): Answer | undefined {
    if (!target.ok) return target.refused;
    const { replica, leaseholder, reads } = target;
    const header = request.transaction ?? undefined;
    if (header === undefined) {
      if (request.get?.lock) return refusal(RefusalReason.INVALID, 'only transactions hold locks');
      if ((request.get ?? request.scan)?.program?.length)
        return refusal(RefusalReason.INVALID, 'only reads of transactions carry programs');
      if (request.get) return reads.get(caller, replica, request.get.keys ?? []);
      if (request.scan) return reads.scan(caller, replica, request.scan);
    }
    if (leaseholder === undefined)
      return header === undefined
        ? replica.notLeaseholder()
        : this.followPast(caller, replica, request, header);
    if (request.write) return leaseholder.write(caller, request.write, header);
    const server = { replica, leaseholder };
    const transactional = this.options.transactions()?.dispatch(caller, server, request);
    if (transactional !== undefined) return transactional.answer;
    if (request.registerSession)
      return leaseholder.register(caller, request.registerSession.nonce ?? noBytes);
    if (request.changeReplicas)
      return this.options.changeReplicas(caller, replica, request.changeReplicas);
    if (request.split) {
      this.options.split(caller, replica, request.split);
      return undefined;
    }
    if (request.transferLease) return this.options.transferLease(replica, request.transferLease);
    return refusal(RefusalReason.INVALID, 'this request is not known here');
  }

  private followPast(
    caller: Caller,
    replica: Replica,
    { get, scan }: Request,
    header: flotilla.kv.TransactionHeader.$Properties,
  ): Answer | undefined {
    const reads = this.options.followerReads();
    if (reads !== undefined && get) return reads.get(caller, replica, get, header);
    if (reads !== undefined && scan) return reads.scan(caller, replica, scan, header);
    return replica.notLeaseholder();
  }
}

type Target =
  | { readonly ok: false; readonly refused: Answer }
  | {
      readonly ok: true;
      readonly replica: Replica;
      /** Undefined only for reads that a follower may answer. */
      readonly leaseholder: Leaseholder | undefined;
      readonly reads: Reads;
    };

const noBytes = Buffer.alloc(0);

export type RequestKind = 'get' | 'scan' | 'write' | 'transaction' | 'other';

/** `transaction`: what only transactions that span ranges ask. */
function kindOf(request: Request): RequestKind {
  if (request.get) return 'get';
  if (request.write) return 'write';
  if (request.scan) return 'scan';
  const { prepare, refresh, queryTransaction, decide, prevent, resolve } = request;
  return prepare || refresh || queryTransaction || decide || prevent || resolve
    ? 'transaction'
    : 'other';
}

/** The least span around what a request names: whoever is refused with old bounds wants to know who has that now. */
function hullOf(request: Request): Span | undefined {
  const { get, scan, write, prepare, refresh, queryTransaction, decide, prevent, resolve } =
    request;
  let startKey: Uint8Array | undefined;
  let endKey: Uint8Array | undefined;
  const add = (from: Uint8Array | null | undefined, to: Uint8Array | null | undefined): void => {
    if (from && (startKey === undefined || compareBytes(from, startKey) < 0)) startKey = from;
    if (to && (endKey === undefined || compareBytes(to, endKey) > 0)) endKey = to;
  };
  for (const key of get?.keys ?? []) add(key, keySuccessor(key));
  if (scan) add(scan.startKey, scan.endKey);
  const keys = [
    ...(write?.conditions ?? []),
    ...(write?.mutations ?? []),
    ...(prepare?.conditions ?? []),
    ...(prepare?.mutations ?? []),
  ].map(({ key }) => key);
  keys.push(queryTransaction?.anchorKey, decide?.anchorKey);
  keys.push(...(decide?.resolveKeys ?? []), ...(prevent?.keys ?? []));
  for (const each of resolve?.resolutions ?? []) keys.push(...(each.keys ?? []));
  for (const key of keys) if (key) add(key, keySuccessor(key));
  for (const { startKey, endKey } of [...(prepare?.readChecks ?? []), ...(refresh?.checks ?? [])])
    if (startKey) add(startKey, endKey?.length ? endKey : keySuccessor(startKey));
  for (const span of write?.deleteSpans ?? []) add(span.startKey, span.endKey);
  return startKey === undefined || endKey === undefined ? undefined : { startKey, endKey };
}

function refused(reason: RefusalReason, message: string): Target {
  return { ok: false, refused: refusal(reason, message) };
}
