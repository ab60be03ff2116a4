/**
 * A pretended cluster whose ranges know transactions: versions, snapshots, intents, records, locks, as leaseholders are
 * asked for them by the protocol. One copy of everything, one instant per request, nothing ever lost: what a coordinator
 * is tested against, where the network between them is what fails.
 */
import {
  type Clock,
  compareBytes,
  HybridLogicalClock,
  keyMax,
  type MemoryNetwork,
  type Timestamp,
  timestampSpan,
  toHex,
  toTimestamp,
} from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';
import {
  type FakeAnswer,
  FakeCluster,
  type FakeRange,
  type FakeRequest,
  refuse,
} from './fake-cluster.ts';
import { FakeLocks, type Owner } from './fake-locks.ts';
import { type FakeIntent, FakeVersions, inSpan, type Version } from './fake-versions.ts';

const { LockMode, LockWait, RefusalReason, TransactionStatus } = kv;
type Header = NonNullable<FakeRequest['transaction']>;
type Changes = Pick<NonNullable<FakeRequest['write']>, 'conditions' | 'readChecks' | 'mutations'>;
type Check = NonNullable<Changes['readChecks']>[number];

export interface FakeRecord {
  readonly status: number;
  readonly commitTimestamp: number;
  readonly promisedKeys: readonly Uint8Array[];
  readonly writtenAtMs: number;
}

/** Later than this after its timestamp no promise is made. */
const prepareAgeMax = timestampSpan(30_000);
const kvSpaceStart = Uint8Array.of(0x03);

export class FakeTransactionCluster extends FakeCluster {
  readonly versions: FakeVersions = new FakeVersions();
  readonly locks: FakeLocks = new FakeLocks();
  /** By anchor key and transaction id, in hex. */
  readonly records: Map<string, FakeRecord> = new Map();
  /** Up to which timestamp a transaction may not promise a key, by id and key in hex. */
  private readonly prevented = new Map<string, number>();
  private readonly clocks = new Map<number, HybridLogicalClock>();
  private readonly timer: Clock;

  /** @param skewsMs how far the clocks of stores 1, 2 and 3 are off */
  constructor(
    network: MemoryNetwork,
    clock: Clock,
    bounds: readonly Uint8Array[],
    skewsMs: readonly number[] = [],
  ) {
    super(network, clock, bounds);
    this.timer = clock;
    for (const storeId of [1, 2, 3]) {
      const skew = skewsMs[storeId - 1] ?? 0;
      const skewed: Clock = {
        nowMs: () => clock.nowMs(),
        wallMs: () => clock.wallMs() + skew,
        setTimer: (delayMs, callback) => clock.setTimer(delayMs, callback),
        afterTurn: (callback) => clock.afterTurn(callback),
      };
      this.clocks.set(storeId, new HybridLogicalClock(skewed, { maxOffsetMs: 500 }));
    }
  }

  override timestampOf(storeId: number): number {
    return this.now(storeId);
  }

  override observe(storeId: number, timestamp: Timestamp): void {
    this.clocks.get(storeId)?.observe(timestamp);
  }

  /** Nothing is left of any transaction. */
  get isClean(): boolean {
    return this.versions.intents.size === 0 && this.locks.held.length === 0;
  }

  protected override execute(range: FakeRange, request: FakeRequest, storeId: number): FakeAnswer {
    const header = request.transaction ?? undefined;
    if (request.get) return this.get(request.get, header, storeId);
    if (request.scan && compareBytes(request.scan.startKey ?? noBytes, kvSpaceStart) >= 0)
      return this.scanRows(request.scan, header, storeId);
    if (request.write) {
      const { write } = request;
      return this.write(range, write, () => this.writeNow(range, write, header, storeId));
    }
    if (request.prepare && header) return this.prepare(request.prepare, header, storeId);
    if (request.refresh && header) return this.refresh(request.refresh, header);
    if (request.queryTransaction) return this.query(request.queryTransaction);
    if (request.decide) return this.decide(range, request.decide);
    if (request.prevent) return this.prevent(request.prevent);
    if (request.resolve) {
      for (const resolution of request.resolve.resolutions ?? []) {
        // Here an announcement hands over locks and nothing else.
        if (resolution.undecided) {
          this.releaseLocks(range, toHex(resolution.transactionId ?? noBytes));
          continue;
        }
        const id = toHex(resolution.transactionId ?? noBytes);
        this.resolve(range, id, resolution.keys ?? [], {
          committed: resolution.committed ?? false,
          commitTimestamp: resolution.commitTimestamp ?? 0,
        });
        if (resolution.forgetAnchorKey?.length)
          this.records.delete(`${toHex(resolution.forgetAnchorKey)} ${id}`);
      }
      return { resolve: {} };
    }
    return super.execute(range, request, storeId);
  }

  override usualAnswer(storeId: number, request: FakeRequest): FakeAnswer {
    if (request.keepLocks) {
      for (const { id, edges } of request.keepLocks.transactions ?? [])
        this.locks.renew(
          toHex(id ?? noBytes),
          (edges ?? []).map((edge) => ({
            waiter: toHex(edge.waiter ?? noBytes),
            waiterStartedAt: edge.waiterStartedAt ?? 0,
            holder: toHex(edge.holder ?? noBytes),
            holderStartedAt: edge.holderStartedAt ?? 0,
          })),
          this.timer.nowMs(),
        );
      return { keepLocks: {} };
    }
    if (request.releaseLocks) {
      for (const id of request.releaseLocks.transactionIds ?? []) this.locks.release(toHex(id));
      return { releaseLocks: {} };
    }
    return super.usualAnswer(storeId, request);
  }

  private now(storeId: number): number {
    return this.clocks.get(storeId)?.now() ?? 0;
  }

  // ---- reads

  private get(
    { keys, lock, wait }: NonNullable<FakeRequest['get']>,
    header: Header | undefined,
    storeId: number,
  ): FakeAnswer {
    const asked = keys ?? [];
    if (lock && header) return this.lockKeys(asked, { lock, wait: wait ?? 0 }, header, storeId);
    const storeTimestamp = this.now(storeId);
    const window = readWindow(header, storeTimestamp);
    for (const key of asked) {
      const obstacle = this.obstacle(key, header, window);
      if (obstacle !== undefined) return obstacle;
    }
    const values = asked.map((key) => {
      if (window !== undefined) this.versions.noteRead(key, window.from);
      const version =
        window === undefined ? this.versions.newest(key) : this.versions.at(key, window.from);
      return wireValue(version);
    });
    return { get: { values, readTimestamp: window?.from ?? 0, storeTimestamp } };
  }

  private scanRows(
    scan: NonNullable<FakeRequest['scan']>,
    header: Header | undefined,
    storeId: number,
  ): FakeAnswer {
    const storeTimestamp = this.now(storeId);
    const window = readWindow(header, storeTimestamp);
    let startKey = scan.startKey ?? noBytes;
    let endKey = scan.endKey ?? keyMax;
    const limit = scan.maxRows || 1000;
    const keys = this.versions.keysIn(startKey, endKey);
    if (scan.reverse) keys.reverse();
    const rows: { key: Uint8Array; value: Uint8Array; timestamp: number }[] = [];
    let resumeKey: Uint8Array | undefined;
    for (const key of keys) {
      const version =
        window === undefined ? this.versions.newest(key) : this.versions.at(key, window.from);
      if (version?.value === undefined) continue;
      if (rows.length === limit) {
        const last = rows.at(-1)?.key ?? key;
        resumeKey = scan.reverse ? last : Buffer.concat([last, Buffer.alloc(1)]);
        break;
      }
      rows.push({ key, value: version.value, timestamp: version.timestamp });
    }
    if (resumeKey !== undefined && scan.reverse) startKey = resumeKey;
    else if (resumeKey !== undefined) endKey = resumeKey;
    const inTheWay = [
      ...this.versions.keysIn(startKey, endKey),
      ...this.versions.intentsIn(startKey, endKey).map(({ key }) => key),
    ];
    for (const key of inTheWay) {
      const obstacle = this.obstacle(key, header, window);
      if (obstacle !== undefined) return obstacle;
    }
    if (window !== undefined) this.versions.noteSpanRead(startKey, endKey, window.from);
    const readTimestamp = window?.from ?? 0;
    return {
      scan: {
        rows,
        readTimestamp,
        storeTimestamp,
        ...(resumeKey === undefined ? {} : { resumeKey }),
      },
    };
  }

  /** Why a key cannot be read in the window; no window: the newest value. */
  private obstacle(
    key: Uint8Array,
    header: Header | undefined,
    window: ReadWindow | undefined,
  ): FakeAnswer | undefined {
    const intent = this.foreignIntent(key, header);
    if (intent !== undefined && (window === undefined || intent.timestamp <= window.to))
      return blockedBy(intent);
    if (window === undefined) return undefined;
    const uncertain = this.versions
      .of(key)
      .findLast(({ timestamp }) => timestamp > window.from && timestamp <= window.to);
    return uncertain === undefined
      ? undefined
      : refuseAt(RefusalReason.UNCERTAIN, uncertain.timestamp);
  }

  private lockKeys(
    keys: readonly Uint8Array[],
    how: { readonly lock: number; readonly wait: number },
    header: Header,
    storeId: number,
  ): FakeAnswer {
    const nowMs = this.timer.nowMs();
    const owner: Owner = { id: idOf(header), startedAt: header.startedAt ?? 0 };
    const exclusive = how.lock === LockMode.LOCK_EXCLUSIVE;
    const skipped = new Set<number>();
    for (const [index, key] of keys.entries()) {
      const front = this.locks.acquire(key, owner, exclusive, nowMs);
      if (front.length === 0) continue;
      if (how.wait !== LockWait.LOCK_BLOCK) this.locks.giveUpPlace(key, owner.id);
      if (how.wait === LockWait.LOCK_SKIP_LOCKED) skipped.add(index);
      else if (how.wait === LockWait.LOCK_NOWAIT)
        return this.waitingFor(key, front, RefusalReason.LOCK_NOT_AVAILABLE);
      else return this.waitingFor(key, front, RefusalReason.LOCK_WAITING);
    }
    for (const [index, key] of keys.entries()) {
      const intent = skipped.has(index) ? undefined : this.foreignIntent(key, header);
      if (intent !== undefined) return blockedBy(intent);
    }
    const readTimestamp = this.now(storeId);
    const values = keys.map((key, index) => {
      if (skipped.has(index)) return { skipped: true };
      this.versions.noteRead(key, readTimestamp);
      return wireValue(this.versions.newest(key));
    });
    return { get: { values, readTimestamp, storeTimestamp: readTimestamp } };
  }

  private waitingFor(key: Uint8Array, front: readonly Owner[], reason: number): FakeAnswer {
    const holders = front.map(({ id, startedAt }) => ({
      transactionId: Buffer.from(id, 'hex'),
      startedAt,
    }));
    const edges = this.locks.edgesOf(front).map((edge) => ({
      waiter: Buffer.from(edge.waiter, 'hex'),
      waiterStartedAt: edge.waiterStartedAt,
      holder: Buffer.from(edge.holder, 'hex'),
      holderStartedAt: edge.holderStartedAt,
    }));
    return { refusal: { reason, message: 'fake', key, holders, edges } };
  }

  private foreignIntent(key: Uint8Array, header: Header | undefined): FakeIntent | undefined {
    const intent = this.versions.intents.get(toHex(key));
    if (intent === undefined || (header && toHex(intent.transactionId) === idOf(header)))
      return undefined;
    return intent;
  }

  // ---- writes

  /** Others' intents and locks on what is written or checked. */
  private writeObstacle(
    { conditions, readChecks, mutations }: Changes,
    header: Header | undefined,
    upTo: number,
  ): FakeAnswer | undefined {
    const written = (mutations ?? []).map(({ key }) => key ?? noBytes);
    for (const key of [...(conditions ?? []).map((part) => part.key ?? noBytes), ...written]) {
      const intent = this.foreignIntent(key, header);
      if (intent !== undefined) return blockedBy(intent);
    }
    const checked = this.checkObstacle(readChecks ?? [], header, upTo);
    if (checked !== undefined) return checked;
    const nowMs = this.timer.nowMs();
    const id = header === undefined ? '' : idOf(header);
    for (const key of written) {
      const owners = this.locks.inTheWay(key, id, nowMs);
      if (owners.length > 0) return this.waitingFor(key, owners, RefusalReason.LOCK_WAITING);
    }
    return undefined;
  }

  private checkObstacle(
    checks: readonly Check[],
    header: Header | undefined,
    upTo: number,
  ): FakeAnswer | undefined {
    for (const check of checks) {
      const [startKey, endKey] = spanOf(check);
      for (const { key, timestamp } of this.versions.intentsIn(startKey, endKey)) {
        const intent = timestamp <= upTo ? this.foreignIntent(key, header) : undefined;
        if (intent !== undefined) return blockedBy(intent);
      }
    }
    return undefined;
  }

  /** @returns number of the first condition or check that does not hold, with what was found; undefined = all hold */
  private failed(
    { conditions, readChecks }: Changes,
    upTo: number,
  ): { failedCondition: number; foundTimestamp: number } | undefined {
    for (const [index, { key, kind, timestamp }] of (conditions ?? []).entries()) {
      const newest = this.versions.newest(key ?? noBytes);
      const found = newest?.value === undefined ? 0 : newest.timestamp;
      if (found !== (kind === 1 ? (timestamp ?? 0) : 0))
        return { failedCondition: index, foundTimestamp: found };
    }
    for (const [index, check] of (readChecks ?? []).entries()) {
      const found = this.writtenSince(check, upTo);
      if (found !== undefined)
        return { failedCondition: (conditions ?? []).length + index, foundTimestamp: found };
    }
    return undefined;
  }

  private writtenSince(check: Check, upTo: number): number | undefined {
    const [startKey, endKey] = spanOf(check);
    for (const key of this.versions.keysIn(startKey, endKey)) {
      const found = this.versions
        .of(key)
        .find(({ timestamp }) => timestamp > (check.since ?? 0) && timestamp <= upTo);
      if (found !== undefined) return found.timestamp;
    }
    return undefined;
  }

  private leastTimestamp(mutations: Changes['mutations']): number {
    return Math.max(
      0,
      ...(mutations ?? []).map(({ key }) => this.versions.leastWrite(key ?? noBytes)),
    );
  }

  private noteChecks(checks: readonly Check[], timestamp: number): void {
    for (const check of checks) this.versions.noteSpanRead(...spanOf(check), timestamp);
  }

  private writeNow(
    range: FakeRange,
    write: NonNullable<FakeRequest['write']>,
    header: Header | undefined,
    storeId: number,
  ): FakeAnswer {
    const least = this.leastTimestamp(write.mutations);
    const demanded = write.demandedTimestamp ?? 0;
    const timestamp = demanded > 0 ? demanded : Math.max(least, this.now(storeId));
    const obstacle = this.writeObstacle(write, header, timestamp);
    if (obstacle !== undefined) return obstacle;
    if (timestamp < least) return refuseAt(RefusalReason.PUSHED, least);
    const latest = write.maxTimestamp ?? 0;
    if (latest > 0 && timestamp > latest) return refuseAt(RefusalReason.TOO_LATE, timestamp);
    const failed = this.failed(write, timestamp);
    if (failed !== undefined) return { write: { applied: false, ...failed } };
    this.noteChecks(write.readChecks ?? [], timestamp);
    for (const { key, value, isDelete } of write.mutations ?? []) {
      const name = toHex(key ?? noBytes);
      this.effects.set(name, (this.effects.get(name) ?? 0) + 1);
      this.versions.add(key ?? noBytes, {
        timestamp,
        value: isDelete ? undefined : Uint8Array.from(value ?? []),
      });
    }
    for (const { startKey, endKey } of write.deleteSpans ?? [])
      for (const key of this.versions.keysIn(startKey ?? noBytes, endKey ?? keyMax))
        this.versions.add(key, { timestamp, value: undefined });
    if (header) this.releaseLocks(range, idOf(header));
    return { write: { applied: true, timestamp } };
  }

  private prepare(
    prepare: NonNullable<FakeRequest['prepare']>,
    header: Header,
    storeId: number,
  ): FakeAnswer {
    const id = idOf(header);
    const anchorKey = Uint8Array.from(prepare.anchorKey ?? []);
    const commitTimestamp = prepare.commitTimestamp ?? 0;
    const mutations = prepare.mutations ?? [];
    const laid = mutations.map(({ key }) => this.versions.intents.get(toHex(key ?? noBytes)));
    const own = laid.map((intent) =>
      intent !== undefined && toHex(intent.transactionId) === id ? intent.timestamp : 0,
    );
    if (own.length > 0 && own.every((timestamp) => timestamp >= commitTimestamp))
      return { prepare: { prepared: true } };
    if (this.now(storeId) - commitTimestamp > prepareAgeMax || this.isForbidden(prepare, id))
      return refuse(RefusalReason.TRANSACTION_ABORTED);
    const obstacle = this.writeObstacle(prepare, header, commitTimestamp);
    if (obstacle !== undefined) return obstacle;
    const least = this.leastTimestamp(prepare.mutations);
    if (commitTimestamp < least) return refuseAt(RefusalReason.PUSHED, least);
    const failed = this.failed(prepare, commitTimestamp);
    if (failed !== undefined) return { prepare: { prepared: false, ...failed } };
    this.noteChecks(prepare.readChecks ?? [], commitTimestamp);
    for (const { key, value, isDelete } of mutations)
      this.versions.intents.set(toHex(key ?? noBytes), {
        key: Uint8Array.from(key ?? []),
        transactionId: Uint8Array.from(header.id ?? []),
        anchorKey,
        coordinator: header.coordinator ?? '',
        timestamp: commitTimestamp,
        value: isDelete ? undefined : Uint8Array.from(value ?? []),
      });
    if (prepare.stage)
      this.records.set(`${toHex(anchorKey)} ${id}`, {
        status: TransactionStatus.TRANSACTION_STAGING,
        commitTimestamp,
        promisedKeys: (prepare.promisedKeys ?? []).map((key) => Uint8Array.from(key)),
        writtenAtMs: this.timer.nowMs(),
      });
    return { prepare: { prepared: true } };
  }

  private isForbidden(prepare: NonNullable<FakeRequest['prepare']>, id: string): boolean {
    const record = this.records.get(`${toHex(prepare.anchorKey ?? noBytes)} ${id}`);
    if (prepare.stage && record && record.status !== TransactionStatus.TRANSACTION_STAGING)
      return true;
    return (prepare.mutations ?? []).some(
      ({ key }) =>
        (this.prevented.get(`${id} ${toHex(key ?? noBytes)}`) ?? 0) >=
        (prepare.commitTimestamp ?? 0),
    );
  }

  private refresh(refresh: NonNullable<FakeRequest['refresh']>, header: Header): FakeAnswer {
    const checks = refresh.checks ?? [];
    const to = refresh.to ?? 0;
    const obstacle = this.checkObstacle(checks, header, to);
    if (obstacle !== undefined) return obstacle;
    for (const [failedCheck, check] of checks.entries()) {
      const foundTimestamp = this.writtenSince(check, to);
      if (foundTimestamp !== undefined)
        return { refresh: { ok: false, failedCheck, foundTimestamp } };
    }
    this.noteChecks(checks, to);
    return { refresh: { ok: true } };
  }

  // ---- records

  private query(query: NonNullable<FakeRequest['queryTransaction']>): FakeAnswer {
    const id = toHex(query.transactionId ?? noBytes);
    const record = this.records.get(`${toHex(query.anchorKey ?? noBytes)} ${id}`);
    const coordinatorAlive = this.locks.isAlive(id, this.timer.nowMs());
    if (record === undefined) return { queryTransaction: { coordinatorAlive } };
    return {
      queryTransaction: {
        status: record.status,
        commitTimestamp: record.commitTimestamp,
        promisedKeys: [...record.promisedKeys],
        ageMs: this.timer.nowMs() - record.writtenAtMs,
        coordinatorAlive,
      },
    };
  }

  private decide(range: FakeRange, decide: NonNullable<FakeRequest['decide']>): FakeAnswer {
    const id = toHex(decide.transactionId ?? noBytes);
    const name = `${toHex(decide.anchorKey ?? noBytes)} ${id}`;
    const before = this.records.get(name);
    const status = before?.status ?? TransactionStatus.TRANSACTION_NONE;
    const matches =
      status === (decide.expected ?? 0) &&
      (before === undefined || before.commitTimestamp === (decide.expectedTimestamp ?? 0));
    if (matches)
      this.records.set(name, {
        status: decide.outcome ?? TransactionStatus.TRANSACTION_ABORTED,
        commitTimestamp: decide.expectedTimestamp ?? 0,
        promisedKeys: before?.promisedKeys ?? [],
        writtenAtMs: this.timer.nowMs(),
      });
    const after = this.records.get(name);
    const committed = after?.status === TransactionStatus.TRANSACTION_COMMITTED;
    if (committed || after?.status === TransactionStatus.TRANSACTION_ABORTED) {
      const { commitTimestamp } = after;
      this.resolve(range, id, decide.resolveKeys ?? [], { committed, commitTimestamp });
      if (committed && decide.forget) this.records.delete(name);
    }
    return {
      decide: {
        status: after?.status ?? TransactionStatus.TRANSACTION_NONE,
        commitTimestamp: after?.commitTimestamp ?? 0,
      },
    };
  }

  private prevent(prevent: NonNullable<FakeRequest['prevent']>): FakeAnswer {
    const id = toHex(prevent.transactionId ?? noBytes);
    const commitTimestamp = prevent.commitTimestamp ?? 0;
    let allFound = true;
    for (const key of prevent.keys ?? []) {
      const intent = this.versions.intents.get(toHex(key));
      if (
        intent !== undefined &&
        toHex(intent.transactionId) === id &&
        intent.timestamp === commitTimestamp
      )
        continue;
      allFound = false;
      const name = `${id} ${toHex(key)}`;
      this.prevented.set(name, Math.max(commitTimestamp, this.prevented.get(name) ?? 0));
    }
    return { prevent: { allFound } };
  }

  private resolve(
    range: FakeRange,
    id: string,
    keys: readonly Uint8Array[],
    outcome: { readonly committed: boolean; readonly commitTimestamp: number },
  ): void {
    for (const key of keys) {
      const name = toHex(key);
      const intent = this.versions.intents.get(name);
      if (intent === undefined || toHex(intent.transactionId) !== id) continue;
      if (outcome.committed && intent.timestamp !== outcome.commitTimestamp) continue;
      this.versions.intents.delete(name);
      if (!outcome.committed) continue;
      this.effects.set(name, (this.effects.get(name) ?? 0) + 1);
      this.versions.add(key, { timestamp: intent.timestamp, value: intent.value });
    }
    this.releaseLocks(range, id);
  }

  private releaseLocks(range: FakeRange, id: string): void {
    this.locks.release(id, (key) => inSpan(Buffer.from(key, 'hex'), range.startKey, range.endKey));
  }
}

interface ReadWindow {
  /** The snapshot. */
  readonly from: number;
  /** Versions above the snapshot up to here are uncertain. */
  readonly to: number;
}

const noBytes = new Uint8Array(0);

function readWindow(header: Header | undefined, now: number): ReadWindow | undefined {
  if (header === undefined) return undefined;
  const from = header.readTimestamp ?? 0;
  // What the leaseholder picks is above everything that it has committed.
  if (from === 0) return { from: now, to: now };
  const limit = header.uncertaintyLimit ?? 0;
  const observed = header.observedTimestamp ?? 0;
  return { from, to: Math.max(from, observed > 0 ? Math.min(limit, observed) : limit) };
}

function idOf(header: Header): string {
  return toHex(header.id ?? noBytes);
}

function spanOf(check: Check): [Uint8Array, Uint8Array] {
  const startKey = check.startKey ?? noBytes;
  const endKey = check.endKey?.length ? check.endKey : Buffer.concat([startKey, Buffer.alloc(1)]);
  return [Uint8Array.from(startKey), Uint8Array.from(endKey)];
}

function wireValue(version: Version | undefined): {
  present: boolean;
  value?: Uint8Array;
  timestamp?: number;
} {
  if (version?.value === undefined) return { present: false };
  return { present: true, value: version.value, timestamp: version.timestamp };
}

function blockedBy(intent: FakeIntent): FakeAnswer {
  const { key, transactionId, anchorKey, coordinator, timestamp } = intent;
  const blocked = { key, transactionId, anchorKey, coordinator, timestamp };
  return { refusal: { reason: RefusalReason.BLOCKED, message: 'fake', blocked } };
}

function refuseAt(reason: number, timestamp: number): FakeAnswer {
  return { refusal: { reason, message: 'fake', timestamp: toTimestamp(timestamp) } };
}
