/**
 * The router's end of the wire: its client id, its cluster id once known, requests out (coalesced per store and turn),
 * responses in. Knows frames and request ids, not ranges or retries.
 */
import {
  type Address,
  type Clock,
  clientIdAt,
  clusterIdBytes,
  equalBytes,
  type FrameHeader,
  FrameReader,
  HybridLogicalClock,
  type Listener,
  type Logger,
  noClusterId,
  Outbox,
  type Prng,
  type StoreId,
  type Transport,
  toStoreId,
} from '@flotilla/base';
import { kv } from '@flotilla/shard/protocol';

export type Response = InstanceType<typeof kv.Response>;

export interface ClientLinkOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger: Logger;
  /** The store that runs in this process. */
  readonly home?: StoreId | undefined;
  /** @param fromStore 0: the sender does not know its store id yet */
  readonly onResponse: (response: Response, fromStore: number) => void;
  /** @returns false: it cannot be read */
  readonly onPeerMessage: (message: Uint8Array, from: string) => boolean;
  /** A frame came from this store, whatever is in it. */
  readonly onHeard: (storeId: number) => void;
  readonly onUnreachable: (storeId: number) => void;
  readonly onConnection: (connected: boolean) => void;
}

/** Timestamps of stores further ahead than this are not followed. Unit: ms. */
const maxClockOffsetMs = 500;

export class ClientLink {
  readonly clientId: string;
  private readonly options: ClientLinkOptions;
  private readonly hlc: HybridLogicalClock;
  private readonly reader: FrameReader;
  private readonly outbox: Outbox;
  private readonly listeners: Listener[];
  private readonly kvAddresses = new Map<number, Address>();
  private clusterIdKnown: Uint8Array = noClusterId;
  private lastRequestId = 0;
  /** Frames or messages that could not be read, or were for another cluster. */
  private refusedCount = 0;

  constructor(options: ClientLinkOptions) {
    const { transport, clock, prng } = options;
    this.options = options;
    const random = Array.from({ length: 4 }, () => prng.nextUint32().toString(36)).join('');
    this.clientId = clientIdAt(`r${random}`, options.home);
    this.hlc = new HybridLogicalClock(clock, { maxOffsetMs: maxClockOffsetMs });
    this.reader = new FrameReader({ clock });
    const sender = { kind: 'client', clientId: this.clientId } as const;
    const header = (): FrameHeader => ({
      clusterId: this.clusterIdKnown,
      timestamp: this.hlc.now(),
      sender,
    });
    this.outbox = new Outbox({ transport, clock, header });
    this.listeners = [
      transport.listen({ kind: 'client', clientId: this.clientId }, (frame) => this.onFrame(frame)),
      transport.onUnreachable((to) => {
        if (to.kind === 'store' && to.channel === 'kv') options.onUnreachable(to.storeId);
      }),
      transport.onConnection(options.onConnection),
    ];
  }

  get connected(): boolean {
    return this.options.transport.connected;
  }

  /** 16 bytes; zeros until known. */
  get clusterId(): Uint8Array {
    return this.clusterIdKnown;
  }

  get refused(): number {
    return this.refusedCount;
  }

  /** A timestamp above all that this client has issued or heard of. */
  now(): number {
    return this.hlc.now();
  }

  nextRequestId(): number {
    return ++this.lastRequestId;
  }

  send(storeId: number, request: Uint8Array): void {
    let address = this.kvAddresses.get(storeId);
    if (address === undefined) {
      address = { kind: 'store', storeId: toStoreId(storeId) as StoreId, channel: 'kv' };
      this.kvAddresses.set(storeId, address);
    }
    this.outbox.enqueue(address, request);
  }

  sendToClient(clientId: string, message: Uint8Array): void {
    this.outbox.enqueue({ kind: 'client', clientId }, message);
  }

  sendToAll(request: Uint8Array): void {
    this.outbox.enqueue({ kind: 'all-stores' }, request);
  }

  /** The first cluster heard of is ours; another one under the same name is not listened to. */
  adoptCluster(clusterId: Uint8Array): void {
    if (clusterId.length !== clusterIdBytes || equalBytes(clusterId, noClusterId)) return;
    if (equalBytes(this.clusterIdKnown, noClusterId))
      this.clusterIdKnown = Uint8Array.from(clusterId);
    else if (!equalBytes(this.clusterIdKnown, clusterId))
      this.options.logger.warn({}, 'router_hears_another_cluster');
  }

  close(): void {
    this.outbox.flush();
    for (const listener of this.listeners) listener.close();
    this.reader.close();
  }

  private onFrame(frame: Uint8Array): void {
    const result = this.reader.read(frame);
    if (!result.ok) {
      this.refusedCount++;
      this.options.logger.debug({ reason: result.reason }, 'router_frame_refused');
      return;
    }
    const { clusterId, sender, timestamp } = result.header;
    const ours = this.clusterIdKnown;
    if (
      !equalBytes(clusterId, ours) &&
      !equalBytes(clusterId, noClusterId) &&
      ours !== noClusterId
    ) {
      this.refusedCount++;
      return;
    }
    this.hlc.observe(timestamp); // one that is too far ahead is the stores' business
    const fromStore = sender.kind === 'store' ? sender.storeId : 0;
    if (fromStore !== 0) this.options.onHeard(fromStore);
    if (sender.kind === 'client') {
      for (const message of result.messages)
        if (!this.options.onPeerMessage(message, sender.clientId)) this.refusedCount++;
      return;
    }
    for (const message of result.messages) {
      const response = decodeResponse(message);
      if (response === undefined) this.refusedCount++;
      else this.options.onResponse(response, fromStore);
    }
  }
}

function decodeResponse(message: Uint8Array): Response | undefined {
  try {
    return kv.Response.decode(message);
  } catch {
    return undefined; // bad bytes: counted by the caller
  }
}
