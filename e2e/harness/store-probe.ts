/**
 * Asks one given store for a key in the low-level protocol, past every router: the way to catch a store that answers
 * though it must not.
 */
import {
  type Clock,
  FrameReader,
  Outbox,
  type StoreId,
  SystemClock,
  type Transport,
  toTimestamp,
} from '@flotilla/base';
import { connectNats } from '@flotilla/router';
import { kv, type RangeInfo } from '@flotilla/shard/protocol';
import type { DemoCluster } from './demo-cluster.ts';

export type ProbeAnswer =
  | { readonly kind: 'value'; readonly value: string | undefined }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'silent' };

export interface Probe {
  readonly calledAt: number;
  readonly returnedAt: number;
  readonly answer: ProbeAnswer;
}

interface Waiting {
  readonly calledAt: number;
  readonly resolve: (probe: Probe) => void;
}

export class StoreProbe {
  private readonly clock: Clock = new SystemClock();
  private readonly transport: Transport;
  private readonly outbox: Outbox;
  private readonly waiting = new Map<number, Waiting>();
  private nextRequestId = 1;

  private constructor(transport: Transport, clientId: string, clusterId: Uint8Array) {
    this.transport = transport;
    this.outbox = new Outbox({
      transport,
      clock: this.clock,
      header: () => ({
        clusterId,
        timestamp: toTimestamp(0),
        sender: { kind: 'client', clientId },
      }),
    });
    const reader = new FrameReader({ clock: this.clock });
    transport.listen({ kind: 'client', clientId }, (frame) => {
      const read = reader.read(frame);
      if (!read.ok) throw new Error(`a store sent a bad frame: ${read.reason}`);
      for (const message of read.messages) this.receive(kv.Response.decode(message));
    });
  }

  /** @param clusterId 16 bytes, as a store tells in answer to discovery */
  static async open(cluster: DemoCluster, clusterId: Uint8Array): Promise<StoreProbe> {
    const clientId = `probe-${process.pid}-${Math.floor(performance.now())}`;
    const transport = await connectNats({
      servers: [cluster.natsUrl],
      cluster: cluster.clusterName,
      name: clientId,
    });
    return new StoreProbe(transport, clientId, clusterId);
  }

  /** Never rejects. A store that does not answer within `timeoutMs` is `silent`. */
  get(storeId: StoreId, range: RangeInfo, key: Uint8Array, timeoutMs: number): Promise<Probe> {
    const requestId = this.nextRequestId++;
    const calledAt = performance.now();
    const request = kv.Request.encode({
      requestId,
      timeoutMs,
      rangeId: range.descriptor?.rangeId ?? 0,
      generation: range.descriptor?.generation ?? 0,
      get: { keys: [key] },
    }).finish();
    return new Promise((resolve) => {
      this.waiting.set(requestId, { calledAt, resolve });
      this.clock.setTimer(timeoutMs, () => this.settle(requestId, { kind: 'silent' }));
      this.outbox.enqueue({ kind: 'store', storeId, channel: 'kv' }, request);
      this.outbox.flush();
    });
  }

  async close(): Promise<void> {
    await this.transport.close();
  }

  private receive(response: ReturnType<typeof kv.Response.decode>): void {
    const value = response.get?.values?.[0];
    if (value !== undefined && value !== null)
      this.settle(response.requestId, {
        kind: 'value',
        value: value.present ? Buffer.from(value.value ?? []).toString('utf8') : undefined,
      });
    else
      this.settle(response.requestId, {
        kind: 'refused',
        reason: String(response.refusal?.reason ?? 'no body'),
      });
  }

  private settle(requestId: number, answer: ProbeAnswer): void {
    const waiting = this.waiting.get(requestId);
    this.waiting.delete(requestId);
    waiting?.resolve({ calledAt: waiting.calledAt, returnedAt: performance.now(), answer });
  }
}
