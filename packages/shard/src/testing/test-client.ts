/**
 * A client that speaks the kv protocol by hand, for tests of stores: `request` is one message and its answer; the
 * operations on top find the leaseholder by redirects and retry, a write always under its session and serial number.
 * Not a router: no cache worth the name, no coalescing, a fixed map of ranges, whose replicas it asks in turn.
 */
import {
  asBuffer,
  type Clock,
  compareBytes,
  FrameReader,
  keySuccessor,
  Outbox,
  present,
  spanContains,
  type Transport,
  toTimestamp,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import type { RangeDescriptor } from '../range-descriptor.ts';

type Request = flotilla.kv.Request.$Properties;
type Response = flotilla.kv.Response;
type WriteRequest = flotilla.kv.WriteRequest.$Properties;

const Reason = flotilla.kv.RefusalReason;
/** Refusals after which the same request may be sent again: this attempt did nothing, or is known by its serial. */
const retryable = new Set<number>([
  Reason.NOT_LEASEHOLDER,
  Reason.RANGE_NOT_FOUND,
  Reason.BUSY,
  Reason.UNKNOWN_OUTCOME,
  Reason.NOT_BOOTSTRAPPED,
  Reason.DEADLINE,
  Reason.STOPPING,
]);

export interface TestClientOptions {
  readonly clientId: string;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly clusterId: Uint8Array;
  readonly ranges: readonly RangeDescriptor[];
  /** Where replicas may be by now; asked after those of the map. */
  readonly storeIds?: readonly number[];
  /** How long one attempt waits for its answer. */
  readonly attemptMs?: number;
}

export class TestClient {
  private readonly options: TestClientOptions;
  private readonly outbox: Outbox;
  private readonly waiting = new Map<number, (response: Response | undefined) => void>();
  private readonly leaders = new Map<number, number>();
  private readonly sessions = new Map<number, { id: number; serial: number; acked: number }>();
  private ranges: readonly RangeDescriptor[];
  private requestId = 0;
  private turn = 0;

  constructor(options: TestClientOptions) {
    this.options = options;
    this.ranges = options.ranges;
    const { transport, clock, clientId, clusterId } = options;
    this.outbox = new Outbox({
      transport,
      clock,
      header: () => ({
        clusterId,
        timestamp: toTimestamp(0),
        sender: { kind: 'client', clientId },
      }),
    });
    const reader = new FrameReader({ clock });
    transport.listen({ kind: 'client', clientId }, (frame) => {
      const read = reader.read(frame);
      if (!read.ok) return;
      for (const message of read.messages) {
        const response = flotilla.kv.Response.decode(asBuffer(message));
        this.waiting.get(response.requestId)?.(response);
      }
    });
  }

  /** One message to one store. Undefined: no answer in time. */
  request(storeId: number, body: Request): Promise<Response | undefined> {
    const { clock, attemptMs = 1000 } = this.options;
    const requestId = ++this.requestId;
    return new Promise((resolve) => {
      const timer = clock.setTimer(attemptMs, () => this.waiting.get(requestId)?.(undefined));
      this.waiting.set(requestId, (response) => {
        timer.cancel();
        this.waiting.delete(requestId);
        resolve(response);
      });
      const bytes = flotilla.kv.Request.encode({
        requestId,
        timeoutMs: attemptMs,
        ...body,
      }).finish();
      this.outbox.enqueue({ kind: 'store', storeId: storeId as never, channel: 'kv' }, bytes);
    });
  }

  rangeOf(key: Uint8Array): RangeDescriptor {
    return present(
      this.ranges.find((range) => spanContains(range, key)),
      'a range for every key',
    );
  }

  /** A range was cut in two. The right half knows the sessions of the left one. */
  onSplit(left: RangeDescriptor, right: RangeDescriptor): void {
    const others = this.ranges.filter(({ rangeId }) => rangeId !== left.rangeId);
    this.ranges = [...others, left, right];
    const session = this.sessions.get(left.rangeId);
    if (session !== undefined) this.sessions.set(right.rangeId, { ...session });
  }

  /** Asks the range's leaseholder until somebody gives an answer that is one. Undefined: not in `timeoutMs`. */
  async ask(
    range: RangeDescriptor,
    body: Request,
    timeoutMs: number,
  ): Promise<Response | undefined> {
    const { clock } = this.options;
    const deadline = clock.nowMs() + timeoutMs;
    while (clock.nowMs() < deadline) {
      const storeId = this.leaders.get(range.rangeId) ?? this.nextStore(range);
      const { rangeId, generation } = range;
      const response = await this.request(storeId, { ...body, rangeId, generation });
      const refusal = response?.refusal;
      if (response !== undefined && !refusal) return response;
      if (refusal && !retryable.has(refusal.reason ?? 0)) return response;
      const hint = refusal?.ranges?.[0]?.leaseholderStoreId ?? 0;
      if (hint !== 0 && hint !== storeId) this.leaders.set(range.rangeId, hint);
      else this.leaders.delete(range.rangeId);
      await new Promise<void>((resolve) => void clock.setTimer(25, resolve));
    }
    return undefined;
  }

  async get(
    key: Uint8Array,
    timeoutMs = 5000,
  ): Promise<{ value: string | undefined; timestamp: number } | undefined> {
    const response = await this.ask(this.rangeOf(key), { get: { keys: [key] } }, timeoutMs);
    const value = response?.get?.values?.[0];
    if (!value) return undefined;
    return {
      value: value.present ? asBuffer(value.value ?? new Uint8Array(0)).toString() : undefined,
      timestamp: value.timestamp ?? 0,
    };
  }

  /** All rows of a span inside one range, page by page. Undefined: no answer in time. */
  async scan(
    startKey: Uint8Array,
    endKey: Uint8Array,
    maxRows = 0,
  ): Promise<readonly flotilla.kv.Row.$Properties[] | undefined> {
    const rows: flotilla.kv.Row.$Properties[] = [];
    let from = startKey;
    while (compareBytes(from, endKey) < 0) {
      const scan = { startKey: from, endKey, maxRows };
      const response = await this.ask(this.rangeOf(startKey), { scan }, 5000);
      if (!response?.scan) return undefined;
      rows.push(...(response.scan.rows ?? []));
      from = response.scan.resumeKey ?? new Uint8Array(0);
      if (from.length === 0) break;
    }
    return rows;
  }

  /** A session in the range, registered once. Undefined: not in time. */
  async session(range: RangeDescriptor, timeoutMs = 5000): Promise<boolean> {
    if (this.sessions.has(range.rangeId)) return true;
    const nonce = Buffer.from(`${this.options.clientId}/${range.rangeId}/${++this.turn}`);
    const response = await this.ask(range, { registerSession: { nonce } }, timeoutMs);
    const id = response?.registerSession?.sessionId ?? 0;
    if (id === 0) return false;
    this.sessions.set(range.rangeId, { id, serial: 0, acked: 0 });
    return true;
  }

  /**
   * One write, taking effect at most once however often it is sent. One at a time per client and range.
   * Undefined: it may or may not have been made.
   */
  async write(
    request: WriteRequest,
    timeoutMs = 5000,
    transaction?: flotilla.kv.TransactionHeader.$Properties,
  ): Promise<Response | undefined> {
    const key =
      request.mutations?.[0]?.key ??
      request.conditions?.[0]?.key ??
      request.deleteSpans?.[0]?.startKey;
    const range = this.rangeOf(present(key, 'a key'));
    if (!(await this.session(range, timeoutMs))) return undefined;
    const session = present(this.sessions.get(range.rangeId), 'session');
    const serial = ++session.serial;
    const write = { ...request, sessionId: session.id, serial, ackedUpTo: session.acked };
    const body: Request = transaction === undefined ? { write } : { write, transaction };
    const response = await this.ask(range, body, timeoutMs);
    if (response?.write) session.acked = serial;
    return response;
  }

  put(key: Uint8Array, value: string, timeoutMs?: number): Promise<Response | undefined> {
    return this.write({ mutations: [{ key, value: Buffer.from(value) }] }, timeoutMs);
  }

  /** The store that answered last for a range, if known. */
  leaderOf(key: Uint8Array): number | undefined {
    return this.leaders.get(this.rangeOf(key).rangeId);
  }

  private nextStore(range: RangeDescriptor): number {
    const stores = new Set<number>([
      ...range.replicas.map((replica) => replica.storeId),
      ...(this.options.storeIds ?? []),
    ]);
    const storeId = present([...stores][this.turn++ % stores.size], 'a store');
    this.leaders.set(range.rangeId, storeId);
    return storeId;
  }
}

/** The whole of a one-key span. */
export function onlyKey(key: Uint8Array): { startKey: Uint8Array; endKey: Uint8Array } {
  return { startKey: key, endKey: keySuccessor(key) };
}
