/**
 * The cluster as its stores describe it, for SQL's schema `flotilla` and for `flotilla top`: asks every store, joins what they
 * say, and never waits long for one that is silent. For people: each answer is of its own moment, and nothing is kept.
 */
import {
  type Clock,
  compareBytes,
  DbError,
  emptyBytes,
  keyMax,
  type Span,
  timestampToWallMs,
  toHex,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import {
  type Router,
  readEvents,
  readStoreRows,
  type StoreInspection,
  type StoreRows,
  type StoreStatus,
} from '@flotilla/router';
import type {
  ClusterInspector,
  ContendedKeyFacts,
  EventFacts,
  LockFacts,
  RangeFacts,
  ReplicaFacts,
  SpanConfiguration,
  StoreFacts,
  TransactionFacts,
} from '@flotilla/sql';

/** For one store's answer, and for the rows of the first range. Unit: ms. */
const askTimeoutMs = 1500;
/** For the stores to show themselves where the first range cannot be read. Unit: ms. */
const discoverTimeoutMs = 500;
const changeTimeoutMs = 30_000;
const pollMs = 50;

type ReplicaStatus = NonNullable<StoreStatus['replicas']>[number];
type LockReport = NonNullable<StoreInspection['locks']>[number];

/** By the numbers of `LockKind` in the stores' protocol. */
const modes: readonly LockFacts['mode'][] = ['share', 'exclusive', 'write', 'intent'];

/** By the numbers of `ReplicaRole`: one to come, and one to go. */
const learnerRoles: ReadonlySet<number> = new Set([1, 4]);

interface Answered {
  readonly status: StoreStatus;
  readonly clockSkewMs: number | undefined;
  readonly roundTripMs: number;
}

export function createInspector(
  router: Router,
  clock: Clock,
): ClusterInspector & { snapshot(): Promise<ClusterPicture> } {
  return new RouterInspector(router, clock);
}

/** Stores and ranges of one moment. */
export interface ClusterPicture {
  readonly stores: readonly StoreFacts[];
  readonly ranges: readonly RangeFacts[];
}

class RouterInspector implements ClusterInspector {
  private readonly router: Router;
  private readonly clock: Clock;

  constructor(router: Router, clock: Clock) {
    this.router = router;
    this.clock = clock;
  }

  async snapshot(): Promise<ClusterPicture> {
    const known = await this.knownStores();
    const answered = await this.askAll([...known.keys()], (id) => this.status(id));
    const statuses = new Map([...answered].map(([id, { status }]) => [id, status]));
    return {
      stores: [...known]
        .sort(([a], [b]) => a - b)
        .map(([id, rows]) => storeFacts(id, rows, answered.get(id))),
      ranges: rangesOf(statuses),
    };
  }

  async stores(): Promise<readonly StoreFacts[]> {
    return (await this.snapshot()).stores;
  }

  async ranges(): Promise<readonly RangeFacts[]> {
    return (await this.snapshot()).ranges;
  }

  async events(limit?: number): Promise<readonly EventFacts[]> {
    const events = await readEvents(this.router, limit === undefined ? {} : { limit });
    return events.map(({ number, event }) => ({
      number,
      atMs: event.atMs,
      kind: event.kind,
      text: event.text,
      rangeId: event.rangeId === 0 ? undefined : event.rangeId,
      storeId: event.storeId === 0 ? undefined : event.storeId,
    }));
  }

  async transactions(): Promise<readonly TransactionFacts[]> {
    const found = new Map<string, TransactionFacts>();
    for (const [storeId, { transactions }] of await this.inspections())
      for (const one of transactions ?? []) {
        const id = one.transactionId ?? emptyBytes;
        const name = toHex(id);
        const before = found.get(name);
        const startedAt = one.startedAt ?? 0;
        found.set(name, {
          id,
          coordinator: before?.coordinator || (one.coordinator ?? ''),
          startedAtMs: before?.startedAtMs ?? wallOf(startedAt),
          locks: (before?.locks ?? 0) + (one.locks ?? 0),
          intents: (before?.intents ?? 0) + (one.intents ?? 0),
          waits: before?.waits === true || one.waits === true,
          stores: [...(before?.stores ?? []), storeId],
        });
      }
    const age = ({ startedAtMs = Infinity }: TransactionFacts): number => startedAtMs;
    return [...found.values()].sort((a, b) => (age(a) < age(b) ? -1 : age(a) > age(b) ? 1 : 0));
  }

  async locks(): Promise<readonly LockFacts[]> {
    const now = this.clock.wallMs();
    const all: LockFacts[] = [];
    for (const [storeId, { locks }] of await this.inspections())
      for (const lock of locks ?? []) all.push(lockFacts(storeId, lock, now));
    const since = ({ waitingSinceMs = Infinity }: LockFacts): number => waitingSinceMs;
    return all.sort((a, b) => (since(a) < since(b) ? -1 : since(a) > since(b) ? 1 : 0));
  }

  async contendedKeys(): Promise<readonly ContendedKeyFacts[]> {
    const now = this.clock.wallMs();
    const all: ContendedKeyFacts[] = [];
    for (const [storeId, { contention }] of await this.inspections())
      for (const one of contention ?? [])
        all.push({
          storeId,
          rangeId: one.rangeId ?? 0,
          key: one.key ?? emptyBytes,
          waits: one.waits ?? 0,
          waitedMs: one.waitedMs ?? 0,
          conflicts: one.conflicts ?? 0,
          lastAtMs: now - (one.idleMs ?? 0),
        });
    return all.sort((a, b) => b.waits + b.conflicts - (a.waits + a.conflicts));
  }

  async split(key: Uint8Array, signal?: AbortSignal): Promise<number> {
    const { rangeId } = await this.router.split(key, changeOptions(signal));
    return rangeId ?? 0;
  }

  async moveLease(rangeId: number, storeId: number, signal?: AbortSignal): Promise<void> {
    const range = await this.range(rangeId);
    if (range.leaseholder === storeId) return;
    const until = this.clock.nowMs() + changeTimeoutMs;
    const stores = range.replicas.map((replica) => replica.storeId);
    await this.router.transferLease(range.startKey, toStoreId(storeId), changeOptions(signal));
    // What the leaseholder has agreed to has only begun.
    while ((await this.rangeOn(stores, rangeId))?.leaseholder !== storeId) {
      if (signal?.aborted === true) throw new DbError('CANCELLED', 'the caller cancelled');
      if (this.clock.nowMs() > until)
        throw new DbError('TIMEOUT', `s${storeId} was asked to lead r${rangeId} and does not yet`);
      await new Promise<void>((resolve) => this.clock.setTimer(pollMs, resolve));
    }
  }

  async configure(
    span: Span,
    { replicas, splitBytes, leasePreference }: SpanConfiguration,
    signal?: AbortSignal,
  ): Promise<void> {
    const exactly = {
      replicas: replicas ?? null,
      splitBytes: splitBytes ?? null,
      leasePreference: leasePreference ?? null,
    };
    await this.router.configureSpan(span, exactly, changeOptions(signal));
  }

  async moveReplica(
    rangeId: number,
    { from, to }: { readonly from: number; readonly to: number },
    signal?: AbortSignal,
  ): Promise<void> {
    const range = await this.range(rangeId);
    const holds = (storeId: number): boolean =>
      range.replicas.some((replica) => replica.storeId === storeId);
    if (!holds(from) && holds(to)) return;
    if (!holds(from))
      throw new DbError('INVALID_ARGUMENT', `r${rangeId} has no replica on s${from}`);
    if (holds(to))
      throw new DbError('INVALID_ARGUMENT', `r${rangeId} has a replica on s${to} already`);
    await this.checkAnswers(to, rangeId);
    const change = { add: [toStoreId(to)], remove: [toStoreId(from)] };
    await this.router.changeMembers(range.startKey, change, changeOptions(signal));
  }

  /** The range would wait for a store that is not there, with a replica more to its name. */
  private async checkAnswers(storeId: number, rangeId: number): Promise<void> {
    if (!(await this.knownStores()).has(storeId))
      throw new DbError('INVALID_ARGUMENT', `no store s${storeId} has ever joined`);
    const answered = await this.askAll([storeId], (id) => this.status(id, rangeId));
    if (!answered.has(storeId))
      throw new DbError('INVALID_ARGUMENT', `s${storeId} does not answer`);
  }

  private async range(rangeId: number): Promise<RangeFacts> {
    const known = await this.knownStores();
    const found = await this.rangeOn([...known.keys()], rangeId);
    if (found === undefined)
      throw new DbError('INVALID_ARGUMENT', `no store that answers has range ${rangeId}`);
    return found;
  }

  /** As these stores describe it; nothing is asked about other ranges. Undefined: none of them has it, or answers. */
  private async rangeOn(
    stores: readonly number[],
    rangeId: number,
  ): Promise<RangeFacts | undefined> {
    const answered = await this.askAll(stores, (id) => this.status(id, rangeId));
    const statuses = new Map([...answered].map(([id, { status }]) => [id, status]));
    return rangesOf(statuses).find((range) => range.rangeId === rangeId);
  }

  /** By their own rows; where these cannot be read, or there are none, whoever answers and whom they know. */
  private async knownStores(): Promise<Map<number, StoreRows | undefined>> {
    try {
      const rows = await readStoreRows(this.router, { timeoutMs: askTimeoutMs });
      if (rows.size > 0) return new Map(rows);
    } catch (error) {
      if (!(error instanceof DbError) || error.code === 'CLOSED') throw error;
    }
    const known = new Map<number, undefined>();
    for (const store of await this.router.discover({ timeoutMs: discoverTimeoutMs }))
      for (const id of [store.storeId, ...store.knownStoreIds])
        if (id > 0) known.set(id, undefined);
    return known;
  }

  private async inspections(): Promise<Map<number, StoreInspection>> {
    const known = await this.knownStores();
    return this.askAll([...known.keys()], (id) =>
      this.router.inspect(toStoreId(id), { timeoutMs: askTimeoutMs }),
    );
  }

  /** What each of them answers; those that do not are left out. */
  private async askAll<Answer>(
    ids: readonly number[],
    ask: (id: number) => Promise<Answer>,
  ): Promise<Map<number, Answer>> {
    const answers = new Map<number, Answer>();
    await Promise.all(
      ids.map(async (id) => {
        try {
          answers.set(id, await ask(id));
        } catch (error) {
          // Silence is an answer too: whoever looks sees which stores are missing.
          if (!(error instanceof DbError) || error.code === 'CLOSED') throw error;
        }
      }),
    );
    return answers;
  }

  /** @param rangeId the replica of this range alone; 0: all */
  private async status(storeId: number, rangeId = 0): Promise<Answered> {
    const askedMs = this.clock.nowMs();
    const askedWallMs = this.clock.wallMs();
    const status = await this.router.status(toStoreId(storeId), {
      ...{ timeoutMs: askTimeoutMs, rangeId },
    });
    const roundTripMs = this.clock.nowMs() - askedMs;
    const wallMs = status.wallMs ?? 0;
    const clockSkewMs = wallMs === 0 ? undefined : wallMs - askedWallMs - roundTripMs / 2;
    return { status, clockSkewMs, roundTripMs };
  }
}

function changeOptions(signal: AbortSignal | undefined): {
  timeoutMs: number;
  signal?: AbortSignal;
} {
  return { timeoutMs: changeTimeoutMs, ...(signal === undefined ? {} : { signal }) };
}

function wallOf(timestamp: number): number | undefined {
  return timestamp > 0 ? timestampToWallMs(toTimestamp(timestamp)) : undefined;
}

function storeFacts(
  storeId: number,
  rows: StoreRows | undefined,
  answered: Answered | undefined,
): StoreFacts {
  const report = rows?.report;
  const status = answered?.status;
  const replicas = status?.replicas ?? undefined;
  return {
    storeId,
    machine: status?.machine ?? report?.machine ?? '',
    zone: report?.zone ?? '',
    version: status?.version ?? report?.version ?? '',
    state: answered === undefined ? 'silent' : 'answers',
    draining: rows?.intent?.draining ?? false,
    decommissioning: rows?.intent?.decommissioning ?? false,
    replicas: replicas?.length ?? report?.replicas ?? 0,
    leases: replicas?.filter(({ role }) => role === 'leader').length ?? report?.leases ?? 0,
    liveBytes: (replicas ?? []).reduce((sum, replica) => sum + (replica.liveBytes ?? 0), 0),
    walBytes: status?.walBytes ?? 0,
    capacityBytes: report?.capacityBytes ?? 0,
    usedBytes: report?.usedBytes ?? 0,
    requestsPerSecond: report?.requestsPerSecond ?? 0,
    uptimeMs: status?.uptimeMs ?? undefined,
    clockSkewMs: answered?.clockSkewMs,
    roundTripMs: answered?.roundTripMs,
    processId: status?.pid ?? undefined,
    reportedAtMs: rows?.reportedAtMs,
  };
}

function lockFacts(storeId: number, lock: LockReport, nowMs: number): LockFacts {
  const granted = lock.granted === true;
  const transaction = lock.transactionId ?? emptyBytes;
  return {
    storeId,
    rangeId: lock.rangeId ?? 0,
    key: lock.key ?? emptyBytes,
    mode: modes[lock.kind ?? 0] ?? 'write',
    granted,
    transaction: transaction.length === 0 ? undefined : transaction,
    waitingSinceMs: granted ? undefined : nowMs - (lock.waitingMs ?? 0),
    blockedBy: lock.blockedBy ?? [],
  };
}

/** Joins the replicas of each range: the newest descriptor and the newest term win. */
function rangesOf(statuses: ReadonlyMap<number, StoreStatus>): RangeFacts[] {
  const byRange = new Map<number, Map<number, ReplicaStatus>>();
  for (const [storeId, status] of statuses)
    for (const replica of status.replicas ?? []) {
      const rangeId = replica.info?.descriptor?.rangeId ?? 0;
      const replicas = byRange.get(rangeId) ?? new Map<number, ReplicaStatus>();
      byRange.set(rangeId, replicas.set(storeId, replica));
    }
  return [...byRange]
    .map(([rangeId, replicas]) => rangeFacts(rangeId, replicas))
    .sort((a, b) => compareBytes(a.startKey, b.startKey) || a.rangeId - b.rangeId);
}

function rangeFacts(rangeId: number, replicas: ReadonlyMap<number, ReplicaStatus>): RangeFacts {
  const all = [...replicas.values()];
  const generation = (one: ReplicaStatus): number => one.info?.descriptor?.generation ?? 0;
  const newest = all.reduce((best, next) => (generation(next) > generation(best) ? next : best));
  const descriptor = newest.info?.descriptor;
  const term = Math.max(...all.map((replica) => replica.term ?? 0));
  // An old leader that does not know of its successor yet is not the leader.
  const [leaseholder, leader] =
    [...replicas].find(([, one]) => one.role === 'leader' && (one.term ?? 0) === term) ?? [];
  return {
    rangeId,
    startKey: descriptor?.startKey ?? emptyBytes,
    endKey: descriptor?.endKey ?? keyMax,
    generation: generation(newest),
    term,
    replicas: (descriptor?.replicas ?? [])
      .map((member): ReplicaFacts => {
        const status = replicas.get(member.storeId ?? 0);
        return {
          storeId: member.storeId ?? 0,
          replicaId: member.replicaId ?? 0,
          voter: !learnerRoles.has(member.role ?? 0),
          role: status?.role ?? 'unknown',
          appliedIndex: status?.appliedIndex ?? 0,
        };
      })
      .sort((a, b) => a.storeId - b.storeId),
    leaseholder,
    lease: leader === undefined ? 'none' : leader.leaseValid === true ? 'valid' : 'expired',
    leaseRemainingMs: leader?.leaseRemainingMs ?? 0,
    liveBytes: leader?.liveBytes ?? newest.liveBytes ?? 0,
    requestsPerSecond: leader?.requestsPerSecond ?? 0,
  };
}
