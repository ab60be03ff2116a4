/**
 * The envelope of everything that crosses the network. A frame is one message on the wire: a header, then a list of
 * messages, or one piece of a message that is larger than a frame. Bad bytes are refused, never asserted on.
 *
 *   u8 version (1) | u8 flags (1 = fragment) | 16 bytes cluster id (zeros: none yet) | f64 HLC timestamp
 *   | u8 sender kind (1 store, 2 client) | sender id: f64 store id, or u8 length + ASCII client id
 *   | whole: (u32 length, bytes)*          fragment: f64 message number | u32 piece | u32 pieces | u32 total | bytes
 *
 * All numbers little-endian.
 */
import type { StoreId, Timestamp } from './ids.ts';

export type Sender =
  | { readonly kind: 'store'; readonly storeId: StoreId }
  | { readonly kind: 'client'; readonly clientId: string };

export interface FrameHeader {
  /** 16 bytes. */
  readonly clusterId: Uint8Array;
  readonly timestamp: Timestamp;
  readonly sender: Sender;
}
