/**
 * Stores without consensus or disks: all of them look at one shared copy of the data, and whichever is written down as a
 * range's leaseholder serves it. Speaks the whole key-value protocol as clients see it, counts what it is asked, and lets
 * a test refuse, lose, delay or double any single answer. For tests of whatever talks to stores.
 */
import {
  assert,
  type Clock,
  compareBytes,
  encodeFrame,
  type FrameHeader,
  FrameReader,
  keyMax,
  type Listener,
  type MemoryNetwork,
  type MemoryTransport,
  Outbox,
  present,
  type StoreId,
  systemPrefix,
  type Timestamp,
  toHex,
  toStoreId,
  toTimestamp,
} from '@flotilla/base';
import { kv, type RangeInfo } from '@flotilla/shard/protocol';

export type FakeRequest = InstanceType<typeof kv.Request>;
/** A Response without its request id. */
export type FakeAnswer = Omit<Parameters<typeof kv.Response.encode>[0], 'requestId'>;
/** What a test decides for one request: an answer, no answer at all, or the usual one. */
export type Interception = FakeAnswer | 'drop' | undefined;
export type Intercept = (storeId: number, request: FakeRequest, clientId: string) => Interception;

const { RefusalReason } = kv;

export interface FakeRange {
  readonly rangeId: number;
  startKey: Uint8Array;
  endKey: Uint8Array;
  generation: number;
  storeIds: number[];
  /** 0: nobody leads it. */
  leaseholder: number;
  term: number;
  readonly sessions: Map<number, FakeSession>;
}

interface FakeSession {
  readonly nonce: string;
  ackedUpTo: number;
  readonly results: Map<number, FakeAnswer>;
}

export interface FakeRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly timestamp: number;
}

export class FakeCluster {
  readonly clusterId: Buffer = Buffer.alloc(16, 7);
  readonly ranges: FakeRange[] = [];
  /** By hex of the key. */
  readonly data: Map<string, FakeRow> = new Map();
  /** Rows of the meta range are made from `ranges` unless a test writes older ones here. */
  metaRows: RangeInfo[] | undefined;
  intercept: Intercept | undefined;
  readonly stores: Map<number, FakeStore> = new Map();
  /** Every request that reached a store, in order. */
  readonly log: { readonly storeId: number; readonly request: FakeRequest }[] = [];
  /** How often a write took effect, by hex of its first key. */
  readonly effects: Map<string, number> = new Map();
  private readonly network: MemoryNetwork;
  private readonly clock: Clock;
  private lastTimestamp = 1000;
  private lastSessionId = 0;

  /** @param bounds start keys of the ranges after the meta range, ascending; the first is `systemPrefix` if empty */
  constructor(network: MemoryNetwork, clock: Clock, bounds: readonly Uint8Array[] = []) {
    this.network = network;
    this.clock = clock;
    const starts = [new Uint8Array(0), systemPrefix, ...bounds];
    starts.forEach((startKey, i) => {
      this.ranges.push({
        rangeId: i + 1,
        startKey,
        endKey: starts[i + 1] ?? keyMax,
        generation: 1,
        storeIds: [1, 2, 3],
        leaseholder: (i % 3) + 1,
        term: 1,
        sessions: new Map(),
      });
    });
    for (const storeId of [1, 2, 3]) this.startStore(storeId);
  }

  startStore(storeId: number): FakeStore {
    const store = new FakeStore(this, toStoreId(storeId), this.network, this.clock);
    this.stores.set(storeId, store);
    return store;
  }

  async stopStore(storeId: number): Promise<void> {
    await this.stores.get(storeId)?.stop();
    this.stores.delete(storeId);
  }

  rangeOf(key: Uint8Array): FakeRange {
    const range = this.ranges.find(
      (r) => compareBytes(r.startKey, key) <= 0 && compareBytes(key, r.endKey) < 0,
    );
    return present(range, 'range of a key');
  }

  infoOf(range: FakeRange): RangeInfo {
    return {
      descriptor: {
        rangeId: range.rangeId,
        startKey: range.startKey,
        endKey: range.endKey,
        generation: range.generation,
        replicas: range.storeIds.map((storeId, i) => ({ replicaId: i + 1, storeId })),
        nextReplicaId: range.storeIds.length + 1,
      },
      leaseholderStoreId: range.leaseholder,
      term: range.term,
    };
  }

  /** Gives the upper part a range of its own; sessions are known on both sides. */
  split(key: Uint8Array, leaseholder?: number): FakeRange {
    const lower = this.rangeOf(key);
    const upper: FakeRange = {
      rangeId: Math.max(...this.ranges.map((range) => range.rangeId)) + 1,
      startKey: key,
      endKey: lower.endKey,
      generation: lower.generation + 1,
      storeIds: [...lower.storeIds],
      leaseholder: leaseholder ?? lower.leaseholder,
      term: 1,
      sessions: new Map(
        [...lower.sessions].map(([id, session]) => [
          id,
          { ...session, results: new Map(session.results) },
        ]),
      ),
    };
    lower.endKey = key;
    lower.generation++;
    this.ranges.splice(this.ranges.indexOf(lower) + 1, 0, upper);
    return upper;
  }

  moveLease(range: FakeRange, storeId: number): void {
    range.leaseholder = storeId;
    range.term++;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.data.set(toHex(key), { key, value, timestamp: ++this.lastTimestamp });
  }

  /** Requests of one kind, of all stores. */
  requests(kind: 'get' | 'scan' | 'write' | 'registerSession' | 'discover'): FakeRequest[] {
    return this.log.map(({ request }) => request).filter((request) => !!request[kind]);
  }

  answer(storeId: number, request: FakeRequest, clientId: string): FakeAnswer | undefined {
    this.log.push({ storeId, request });
    const intercepted = this.intercept?.(storeId, request, clientId);
    if (intercepted === 'drop') return undefined;
    return intercepted ?? this.usualAnswer(storeId, request);
  }

  usualAnswer(storeId: number, request: FakeRequest): FakeAnswer {
    if (request.discover)
      return {
        discover: {
          storeId,
          clusterId: this.clusterId,
          meta: this.infoOf(present(this.ranges[0], 'meta range')),
          knownStoreIds: [...this.stores.keys()],
          version: 'fake',
        },
      };
    if (request.status) return { status: { storeId, machine: 'fake', version: 'fake', pid: 1 } };
    const range = this.ranges.find((r) => r.rangeId === request.rangeId);
    if (range === undefined || !range.storeIds.includes(storeId))
      return refuse(RefusalReason.RANGE_NOT_FOUND);
    if (range.leaseholder !== storeId)
      return refuse(RefusalReason.NOT_LEASEHOLDER, [this.infoOf(range)]);
    if (request.generation !== range.generation || !within(range, request))
      return refuse(
        RefusalReason.RANGE_KEY_MISMATCH,
        this.ranges.map((r) => this.infoOf(r)),
      );
    return this.execute(range, request, storeId);
  }

  /** What a store's frames are stamped with. */
  timestampOf(_storeId: number): number {
    return 1;
  }

  /** A store was shown a timestamp. */
  observe(_storeId: number, _timestamp: Timestamp): void {}

  protected execute(range: FakeRange, request: FakeRequest, _storeId: number): FakeAnswer {
    if (request.get)
      return {
        get: {
          values: (request.get.keys ?? []).map((key) => {
            const row = this.data.get(toHex(key));
            return row === undefined
              ? { present: false }
              : { present: true, value: row.value, timestamp: row.timestamp };
          }),
        },
      };
    if (request.scan) return this.scan(request);
    if (request.registerSession) {
      const nonce = toHex(request.registerSession.nonce ?? new Uint8Array(0));
      for (const [sessionId, session] of range.sessions)
        if (session.nonce === nonce) return { registerSession: { sessionId } };
      const sessionId = ++this.lastSessionId;
      range.sessions.set(sessionId, { nonce, ackedUpTo: 0, results: new Map() });
      return { registerSession: { sessionId } };
    }
    if (request.transferLease) {
      const to = request.transferLease.targetStoreId ?? 0;
      const ok = range.storeIds.includes(to);
      if (ok) range.leaseholder = to;
      return { transferLease: { ok, message: ok ? '' : 'no such replica' } };
    }
    if (request.write) {
      const { write } = request;
      return this.write(range, write, () => this.evaluate(write));
    }
    return refuse(RefusalReason.INVALID);
  }

  private scan(request: FakeRequest): FakeAnswer {
    const { startKey, endKey, maxRows, reverse } = request.scan ?? {};
    const from = startKey ?? new Uint8Array(0);
    const to = endKey ?? keyMax;
    const rows =
      compareBytes(from, Uint8Array.of(0x02)) >= 0 && compareBytes(to, systemPrefix) <= 0
        ? this.metaAsRows()
        : [...this.data.values()];
    const inside = rows
      .filter((row) => compareBytes(from, row.key) <= 0 && compareBytes(row.key, to) < 0)
      .sort((a, b) => compareBytes(a.key, b.key));
    if (reverse) inside.reverse();
    const limit = maxRows || 1000;
    const out = inside.slice(0, limit);
    const last = out.at(-1);
    if (inside.length <= limit || last === undefined) return { scan: { rows: out } };
    const resumeKey = reverse ? last.key : Buffer.concat([last.key, Buffer.alloc(1)]);
    return { scan: { rows: out, resumeKey } };
  }

  private metaAsRows(): FakeRow[] {
    const infos = this.metaRows ?? this.ranges.map((range) => this.infoOf(range));
    return infos.map((info) => ({
      key: Buffer.concat([Uint8Array.of(0x02), info.descriptor?.endKey ?? keyMax]),
      value: kv.RangeInfo.encode(info).finish(),
      timestamp: 1,
    }));
  }

  /** Once per session and serial. A refusal does not use the serial up. */
  protected write(
    range: FakeRange,
    write: NonNullable<FakeRequest['write']>,
    evaluate: () => FakeAnswer,
  ): FakeAnswer {
    const session = range.sessions.get(write.sessionId ?? 0);
    if (session === undefined) return refuse(RefusalReason.SESSION_EXPIRED);
    const serial = write.serial ?? 0;
    const ackedUpTo = write.ackedUpTo ?? 0;
    assert(serial > ackedUpTo, 'a write is not acknowledged before it is answered');
    const known = session.results.get(serial);
    if (known !== undefined) return known;
    if (serial <= session.ackedUpTo) return refuse(RefusalReason.ALREADY_ANSWERED);
    const answer = evaluate();
    if (answer.refusal) return answer;
    session.results.set(serial, answer);
    session.ackedUpTo = Math.max(session.ackedUpTo, ackedUpTo);
    for (const old of session.results.keys())
      if (old <= session.ackedUpTo) session.results.delete(old);
    return answer;
  }

  private evaluate(write: NonNullable<FakeRequest['write']>): FakeAnswer {
    const conditions = write.conditions ?? [];
    for (let i = 0; i < conditions.length; i++) {
      const condition = conditions[i];
      const found = this.data.get(toHex(condition?.key ?? new Uint8Array(0)))?.timestamp ?? 0;
      const expected = condition?.kind === 1 ? (condition.timestamp ?? 0) : 0;
      if (found !== expected)
        return { write: { applied: false, failedCondition: i, foundTimestamp: found } };
    }
    const timestamp = ++this.lastTimestamp;
    for (const { key, value, isDelete } of write.mutations ?? []) {
      const name = toHex(key ?? new Uint8Array(0));
      this.effects.set(name, (this.effects.get(name) ?? 0) + 1);
      if (isDelete) this.data.delete(name);
      else
        this.data.set(name, {
          key: Uint8Array.from(key ?? []),
          value: Uint8Array.from(value ?? []),
          timestamp,
        });
    }
    for (const { startKey, endKey } of write.deleteSpans ?? [])
      for (const [name, row] of this.data)
        if (
          compareBytes(startKey ?? new Uint8Array(0), row.key) <= 0 &&
          compareBytes(row.key, endKey ?? keyMax) < 0
        )
          this.data.delete(name);
    return { write: { applied: true, timestamp } };
  }
}

/** One process of the fake cluster. */
export class FakeStore {
  readonly storeId: StoreId;
  readonly transport: MemoryTransport;
  private readonly cluster: FakeCluster;
  private readonly outbox: Outbox;
  private readonly reader: FrameReader;
  private readonly listeners: Listener[];
  /** Frames received on the kv channel: what coalescing is measured by. */
  frames = 0;

  constructor(cluster: FakeCluster, storeId: StoreId, network: MemoryNetwork, clock: Clock) {
    this.cluster = cluster;
    this.storeId = storeId;
    this.transport = network.connect(`store-${storeId}`);
    this.reader = new FrameReader({ clock });
    this.outbox = new Outbox({
      transport: this.transport,
      clock,
      header: () => fakeHeader(storeId, cluster),
    });
    this.listeners = [
      this.transport.listen({ kind: 'store', storeId, channel: 'kv' }, (frame) => {
        this.frames++;
        this.onFrame(frame);
      }),
      this.transport.listen({ kind: 'all-stores' }, (frame) => this.onFrame(frame)),
    ];
  }

  /** An answer out of the usual order: late, doubled, or to nobody. */
  reply(clientId: string, requestId: number, answer: FakeAnswer): void {
    const message = kv.Response.encode({ ...answer, requestId }).finish();
    this.outbox.enqueue({ kind: 'client', clientId }, message);
  }

  /** Raw bytes in a frame that is in order. */
  sendRaw(clientId: string, message: Uint8Array): void {
    const header = fakeHeader(this.storeId, this.cluster);
    this.transport.send({ kind: 'client', clientId }, encodeFrame(header, [message]));
  }

  async stop(): Promise<void> {
    for (const listener of this.listeners) listener.close();
    this.reader.close();
    await this.transport.close();
  }

  private onFrame(frame: Uint8Array): void {
    const result = this.reader.read(frame);
    if (!result.ok || result.header.sender.kind !== 'client') return;
    const { clientId } = result.header.sender;
    this.cluster.observe(this.storeId, result.header.timestamp);
    for (const message of result.messages) {
      const request = kv.Request.decode(message);
      const answer = this.cluster.answer(this.storeId, request, clientId);
      if (answer !== undefined) this.reply(clientId, request.requestId ?? 0, answer);
    }
  }
}

function fakeHeader(storeId: StoreId, cluster: FakeCluster): FrameHeader {
  const timestamp = toTimestamp(cluster.timestampOf(storeId));
  return { clusterId: cluster.clusterId, timestamp, sender: { kind: 'store', storeId } };
}

export function refuse(
  reason: number,
  ranges: RangeInfo[] = [],
  retryAfterMs: number = 0,
): FakeAnswer {
  return { refusal: { reason, message: 'fake', ranges, retryAfterMs } };
}

/** Whether everything that a request names lies in the range. */
function within(range: FakeRange, request: FakeRequest): boolean {
  const inside = (key: Uint8Array | null | undefined): boolean =>
    !!key && compareBytes(range.startKey, key) <= 0 && compareBytes(key, range.endKey) < 0;
  const insideUpTo = (key: Uint8Array | null | undefined): boolean =>
    !key || key.length === 0 || compareBytes(key, range.endKey) <= 0;
  const { get, scan, write, prepare, refresh, prevent, resolve, decide } = request;
  if (get) return (get.keys ?? []).every(inside);
  if (scan)
    return (
      compareBytes(range.startKey, scan.startKey ?? new Uint8Array(0)) <= 0 &&
      insideUpTo(scan.endKey ?? keyMax)
    );
  const changes = write ?? prepare;
  const checks = changes?.readChecks ?? refresh?.checks ?? [];
  return (
    [...(changes?.conditions ?? []), ...(changes?.mutations ?? [])].every((part) =>
      inside(part.key),
    ) &&
    checks.every(({ startKey, endKey }) => inside(startKey) && insideUpTo(endKey)) &&
    [...(prevent?.keys ?? []), ...(decide?.resolveKeys ?? [])].every(inside) &&
    (!decide || inside(decide.anchorKey)) &&
    (resolve?.resolutions ?? []).every(
      ({ keys, forgetAnchorKey }) =>
        (keys ?? []).every(inside) && (!forgetAnchorKey?.length || inside(forgetAnchorKey)),
    )
  );
}
