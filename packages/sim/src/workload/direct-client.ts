/**
 * Requests that routers do not make: reads at followers, and the founding of a store that takes a damaged one's place.
 * Speaks the stores' protocol itself, beside the host's router.
 */
import { asBuffer, present, type StoreId, spanContains } from '@flotilla/base';
import type { KvValue } from '@flotilla/router';
import { TestClient } from '@flotilla/shard/testing';
import type { RangeDescriptor } from '../cluster/ranges.ts';
import type { Host } from '../world/host.ts';
import type { HostTransport } from '../world/host-transport.ts';

export type FollowerRead =
  | { readonly ok: true; readonly value: KvValue | undefined }
  /** No answer, or a refusal: this replica cannot serve it. */
  | { readonly ok: false };

export interface DirectClientOptions {
  readonly host: Host;
  readonly transport: HostTransport;
  readonly clusterId: Uint8Array;
  /** The founding cut. */
  readonly ranges: readonly RangeDescriptor[];
  readonly attemptMs: number;
}

export class DirectClient {
  private readonly client: TestClient;
  private readonly clusterId: Uint8Array;
  private readonly ranges: readonly RangeDescriptor[];

  constructor({ host, transport, clusterId, ranges, attemptMs }: DirectClientOptions) {
    this.clusterId = clusterId;
    this.ranges = ranges;
    this.client = new TestClient({
      clientId: `${host.name}-direct`,
      transport,
      clock: host.clock(),
      clusterId,
      ranges,
      attemptMs,
    });
  }

  /** Of one key, at that store, whoever leads. Linearizable if it is served. */
  async followerGet(key: Uint8Array, storeId: StoreId): Promise<FollowerRead> {
    const range = present(
      this.ranges.find((each) => spanContains(each, key)),
      'a range for every key',
    );
    const response = await this.client.request(storeId, {
      rangeId: range.rangeId,
      generation: range.generation,
      followerRead: true,
      get: { keys: [key] },
    });
    const value = response?.get?.values?.[0];
    if (value === undefined) return { ok: false };
    if (!value.present) return { ok: true, value: undefined };
    return {
      ok: true,
      value: {
        value: asBuffer(value.value ?? new Uint8Array(0)),
        timestamp: value.timestamp ?? 0,
      },
    };
  }

  /** Makes an empty store a member of the cluster, without replicas. False: ask again. */
  async found(storeId: StoreId): Promise<boolean> {
    const { clusterId, ranges } = this;
    const response = await this.client.request(storeId, {
      bootstrap: { clusterId, storeId, ranges: [...ranges] },
    });
    return response?.bootstrap?.ok === true;
  }
}
