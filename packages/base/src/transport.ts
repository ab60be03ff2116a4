/**
 * Moves frames between processes, at most once: a frame may be lost, doubled or very late, never altered. Two twins
 * pass one conformance suite (`@flotilla/router/testing`): NATS in `router`, memory here. Nobody but `Outbox` should
 * call `send` per message: everything for one destination in one turn leaves as one frame.
 */
import type { StoreId } from './ids.ts';

/** `raft`: consensus between stores. `kv`: requests of clients. `bulk`: snapshots, on a connection of its own. */
export type Channel = 'raft' | 'kv' | 'bulk';

export type Address =
  | { readonly kind: 'store'; readonly storeId: StoreId; readonly channel: Channel }
  /** A process that asks: gateway, SDK, or a store in its role as a client. */
  | { readonly kind: 'client'; readonly clientId: string }
  /** Every store process of the cluster. For discovery, and for news of where the meta range lives. */
  | { readonly kind: 'all-stores' };

export interface Listener {
  close(): void;
}

export type FrameHandler = (frame: Uint8Array) => void;

/** Largest frame a transport must carry. Unit: bytes. Larger messages are cut by the Outbox. */
export const frameBytesMax: number = 256 * 1024;

export interface Transport {
  /** Never throws, never blocks; drops silently when disconnected. The bytes must not change afterwards. */
  send(to: Address, frame: Uint8Array): void;
  /** Delivers frames sent to `at`, in order per sender while connected. One listener per address and process. */
  listen(at: Address, handler: FrameHandler): Listener;
  /** Called when the network says that nobody listens at an address that was sent to: the process is down. A hint. */
  onUnreachable(handler: (to: Address) => void): Listener;
  /** Called on every change of `connected`. */
  onConnection(handler: (connected: boolean) => void): Listener;
  readonly connected: boolean;
  /** Sends what is queued, then closes for good. */
  close(): Promise<void>;
}

export function addressKey(address: Address): string {
  switch (address.kind) {
    case 'store':
      return `store.${address.storeId}.${address.channel}`;
    case 'client':
      return `client.${address.clientId}`;
    case 'all-stores':
      return 'all-stores';
  }
}
