/**
 * A store in its role as a client of other stores, and of itself: asks stores and leaseholders by the same messages as
 * any client, follows redirects, and writes under a session of its own. For a few requests per second; not a router: it
 * knows one range at a time and where its asker says that range is.
 */
import {
  type Address,
  asBuffer,
  type Clock,
  compareBytes,
  type FrameHeader,
  FrameReader,
  type Listener,
  noClusterId,
  Outbox,
  type Prng,
  type Span,
  type StoreId,
  type Timestamp,
  type Transport,
  toHex,
  toStoreId,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { RefusalReason } from '../replica/answers.ts';
import { isNewer } from '../store/range-reports.ts';

export type RequestBody = Omit<flotilla.kv.Request.$Properties, 'requestId' | 'timeoutMs'>;
export type Response = flotilla.kv.Response;
export type RangeInfo = flotilla.kv.RangeInfo.$Properties;
export type Row = flotilla.kv.Row;
export type Discovery = flotilla.kv.DiscoverResponse;

export interface StoreClientOptions {
  readonly storeId: StoreId;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
  /** Undefined: not part of a cluster yet. */
  readonly clusterId: () => Uint8Array | undefined;
  readonly timestamp: () => Timestamp;
}

/** Unit: ms. */
const attemptMs = 1000;
const betweenMs = 100;
/** Redirects and silences between two questions to everybody where a range is. */
const attemptsPerSearch = 6;

export class StoreClient {
  readonly clientId: string;
  private readonly options: StoreClientOptions;
  private readonly outbox: Outbox;
  private readonly reader: FrameReader;
  private readonly listener: Listener;
  private readonly waiting = new Map<number, (response: Response) => void>();
  /** Overrides that of the options: of a cluster that this store is about to join. */
  private joining: Uint8Array | undefined;
  private lastRequestId = 0;
  private stopped = false;

  constructor(options: StoreClientOptions) {
    this.options = options;
    const { transport, clock, storeId, prng } = options;
    const chance = Uint8Array.from({ length: 8 }, () => prng.nextBelow(256));
    this.clientId = `s${storeId}x${toHex(chance)}`;
    const sender = { kind: 'client', clientId: this.clientId } as const;
    const header = (): FrameHeader => ({
      clusterId: options.clusterId() ?? this.joining ?? noClusterId,
      timestamp: options.timestamp(),
      sender,
    });
    this.outbox = new Outbox({ transport, clock, header });
    this.reader = new FrameReader({ clock });
    this.listener = transport.listen(sender, (frame) => this.onFrame(frame));
  }

  adopt(clusterId: Uint8Array): void {
    this.joining = Uint8Array.from(clusterId);
  }

  get isStopped(): boolean {
    return this.stopped;
  }

  /** Whoever waits for an answer goes on waiting for its time. */
  close(): void {
    this.stopped = true;
    this.listener.close();
    this.reader.close();
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.options.clock.setTimer(ms, resolve));
  }

  /** One message and its answer. Undefined: none in time. */
  request(storeId: StoreId, body: RequestBody, timeoutMs: number): Promise<Response | undefined> {
    return new Promise((resolve) => {
      const requestId = this.send({ kind: 'store', storeId, channel: 'kv' }, body, timeoutMs);
      const end = (response: Response | undefined): void => {
        timer.cancel();
        this.waiting.delete(requestId);
        resolve(response);
      };
      const timer = this.options.clock.setTimer(timeoutMs, () => end(undefined));
      this.waiting.set(requestId, end);
    });
  }

  /**
   * What all stores that answer in time say.
   * @param aboutStoreId they also say what they heard of this store
   * @param isEnough nobody else is waited for
   */
  discover(
    timeoutMs: number,
    aboutStoreId = 0,
    isEnough: (found: readonly Discovery[]) => boolean = () => false,
  ): Promise<Discovery[]> {
    return new Promise((resolve) => {
      const found: Discovery[] = [];
      const body = { discover: { aboutStoreId } };
      const requestId = this.send({ kind: 'all-stores' }, body, timeoutMs);
      const end = (): void => {
        timer.cancel();
        this.waiting.delete(requestId);
        resolve(found);
      };
      const timer = this.options.clock.setTimer(timeoutMs, end);
      this.waiting.set(requestId, ({ discover }) => {
        if (discover) found.push(discover as Discovery);
        if (isEnough(found)) end();
      });
    });
  }

  private send(to: Address, body: RequestBody, timeoutMs: number): number {
    const requestId = ++this.lastRequestId;
    const request = { ...body, requestId, timeoutMs: Math.ceil(timeoutMs) };
    this.outbox.enqueue(to, flotilla.kv.Request.encode(request).finish());
    return requestId;
  }

  private onFrame(frame: Uint8Array): void {
    const read = this.reader.read(asBuffer(frame));
    if (!read.ok || this.stopped) return;
    for (const message of read.messages) {
      let response: Response;
      try {
        response = flotilla.kv.Response.decode(asBuffer(message));
      } catch {
        continue; // bad bytes: as if lost
      }
      this.waiting.get(response.requestId)?.(response);
    }
  }
}

/** One range and where it is, as far as is known; asks its leaseholder, whoever that is by then. */
export class RangeContact {
  private readonly client: StoreClient;
  private readonly rangeId: number;
  private readonly latest: () => RangeInfo | undefined;
  private known: RangeInfo | undefined;
  private turn = 0;
  private registrations = 0;
  private session: { id: number; serial: number } | undefined;

  /** @param latest what others have learned of the range meanwhile */
  constructor(client: StoreClient, rangeId: number, latest: () => RangeInfo | undefined) {
    this.client = client;
    this.rangeId = rangeId;
    this.latest = latest;
  }

  get info(): RangeInfo | undefined {
    return this.known;
  }

  learn(info: RangeInfo | null | undefined): void {
    if (info?.descriptor?.rangeId !== this.rangeId) return;
    if (this.known === undefined || isNewer(info, this.known)) this.known = info;
  }

  /** The answer of the leaseholder, a refusal that asking again does not help, or undefined: not in time. */
  async ask(body: RequestBody, timeoutMs: number): Promise<Response | undefined> {
    let leftMs = timeoutMs;
    for (let attempt = 1; leftMs > 0 && !this.client.isStopped; attempt++) {
      this.learn(this.latest());
      const storeId = this.nextStore();
      if (storeId === undefined || attempt % attemptsPerSearch === 0) {
        for (const { meta } of await this.client.discover(betweenMs * 3)) this.learn(meta);
        leftMs -= betweenMs * 3;
        continue;
      }
      const descriptor = this.known?.descriptor;
      const answer = await this.client.request(
        storeId,
        {
          ...body,
          rangeId: this.rangeId,
          generation: descriptor?.generation ?? 1,
        },
        Math.min(attemptMs, leftMs),
      );
      const refusal = answer?.refusal;
      if (answer !== undefined && !refusal) return answer;
      if (refusal && !this.isWorthRepeating(refusal)) return answer;
      this.turn++;
      leftMs -= answer === undefined ? attemptMs : betweenMs;
      if (answer !== undefined && leftMs > 0) await this.client.pause(betweenMs);
    }
    return undefined;
  }

  /** Newest value of one key. Undefined: not in time. */
  async get(
    key: Uint8Array,
    timeoutMs: number,
  ): Promise<{ value: Uint8Array | undefined; timestamp: number } | undefined> {
    const answer = await this.ask({ get: { keys: [key] } }, timeoutMs);
    const value = answer?.get?.values?.[0];
    if (!value) return undefined;
    const present = value.present === true;
    return {
      value: present ? (value.value ?? new Uint8Array(0)) : undefined,
      timestamp: present ? (value.timestamp ?? 0) : 0,
    };
  }

  /** Rows of the span, all of it in this range. Undefined: not in time. */
  async scan(span: Span, timeoutMs: number): Promise<Row[] | undefined> {
    const rows: Row[] = [];
    let { startKey } = span;
    while (compareBytes(startKey, span.endKey) < 0) {
      const answer = await this.ask({ scan: { startKey, endKey: span.endKey } }, timeoutMs);
      if (!answer?.scan) return undefined;
      rows.push(...((answer.scan.rows ?? []) as Row[]));
      startKey = answer.scan.resumeKey ?? new Uint8Array(0);
      if (startKey.length === 0) break;
    }
    return rows;
  }

  /**
   * Puts a row whose version is `expected` (0: it is absent), once. Undefined: it may or may not have happened.
   * One at a time.
   */
  async put(
    row: { readonly key: Uint8Array; readonly value: Uint8Array; readonly expected: number },
    timeoutMs: number,
  ): Promise<{ applied: boolean; timestamp: number } | undefined> {
    const { key, value, expected } = row;
    this.session ??= await this.register(timeoutMs);
    if (this.session === undefined) return undefined;
    const serial = ++this.session.serial;
    const write = {
      sessionId: this.session.id,
      serial,
      ackedUpTo: serial - 1,
      conditions: [{ key, kind: flotilla.kv.ConditionKind.UNCHANGED, timestamp: expected }],
      mutations: [{ key, value }],
    };
    const answer = await this.ask({ write }, timeoutMs);
    if (!answer?.write) {
      // Expired, or its fate is not known: whatever comes next is another write of another session.
      this.session = undefined;
      return undefined;
    }
    return { applied: answer.write.applied === true, timestamp: answer.write.timestamp ?? 0 };
  }

  private async register(timeoutMs: number): Promise<{ id: number; serial: number } | undefined> {
    const nonce = Buffer.from(`${this.client.clientId}/${this.rangeId}/${++this.registrations}`);
    const answer = await this.ask({ registerSession: { nonce } }, timeoutMs);
    const id = answer?.registerSession?.sessionId ?? 0;
    return id === 0 ? undefined : { id, serial: 0 };
  }

  private nextStore(): StoreId | undefined {
    const { descriptor, leaseholderStoreId } = this.known ?? {};
    const members = descriptor?.replicas ?? [];
    const storeId =
      this.turn % 2 === 0 && leaseholderStoreId
        ? leaseholderStoreId
        : members[Math.floor(this.turn / 2) % Math.max(1, members.length)]?.storeId;
    return storeId ? toStoreId(storeId) : undefined;
  }

  private isWorthRepeating(refusal: flotilla.kv.Refusal.$Properties): boolean {
    const before = this.known;
    for (const info of refusal.ranges ?? []) this.learn(info);
    // Somebody else leads it: that store is asked next.
    if (this.known !== before) this.turn = -1;
    switch (refusal.reason) {
      case RefusalReason.SESSION_EXPIRED:
      case RefusalReason.ALREADY_ANSWERED:
      case RefusalReason.INVALID:
      case RefusalReason.TOO_LARGE:
      case RefusalReason.WRONG_CLUSTER:
        return false;
      default:
        return true;
    }
  }
}
