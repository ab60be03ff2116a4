/**
 * Finds the session that a CancelRequest means. The process id that clients are given carries the gateway's id in its
 * high bits, so that a request which a load balancer sent elsewhere is recognized and can be forwarded.
 */
import { randomFillSync, timingSafeEqual } from 'node:crypto';
import { assert } from '@flotilla/base';

/** The id of the gateway that gave a session this process id. */
export function gatewayOf(processId: number): number {
  return processId >>> connectionBits;
}

/** Bits of the process id below the gateway's id. 10 bits of gateways; the sign bit stays clear. */
const connectionBits = 21;
const connectionsMask = (1 << connectionBits) - 1;
export const gatewayIdMax = 1023;
const secretBytes = 4;

export interface CancelKey {
  readonly processId: number;
  readonly secret: Buffer;
}

interface Entry {
  readonly key: CancelKey;
  readonly cancel: () => void;
}

export type CancelOutcome = 'cancelled' | 'wrong_key' | 'other_gateway';

export class CancelRegistry {
  private readonly gatewayId: number;
  private readonly entries = new Map<number, Entry>();
  private lastNumber = 0;
  private readonly decoy = randomFillSync(Buffer.alloc(secretBytes));

  constructor(gatewayId: number) {
    assert(
      Number.isInteger(gatewayId) && gatewayId >= 0 && gatewayId <= gatewayIdMax,
      'gateway id is in [0, 1023]',
      { gatewayId },
    );
    this.gatewayId = gatewayId;
  }

  get size(): number {
    return this.entries.size;
  }

  /** A key for a session. `cancel` stops the statement it runs, if any. Pair with `unregister`. */
  register(cancel: () => void): CancelKey {
    assert(this.entries.size < connectionsMask, 'a connection number is free');
    do {
      this.lastNumber = this.lastNumber >= connectionsMask ? 1 : this.lastNumber + 1;
    } while (this.entries.has(this.processIdOf(this.lastNumber)));
    const key: CancelKey = {
      processId: this.processIdOf(this.lastNumber),
      secret: randomFillSync(Buffer.alloc(secretBytes)),
    };
    this.entries.set(key.processId, { key, cancel });
    return key;
  }

  unregister(key: CancelKey): void {
    this.entries.delete(key.processId);
  }

  /** Takes the same time for a wrong secret and for a session that does not exist. */
  cancel(processId: number, secret: Buffer): CancelOutcome {
    const entry = this.entries.get(processId);
    const same =
      secret.length === secretBytes && timingSafeEqual(entry?.key.secret ?? this.decoy, secret);
    if (entry !== undefined && same) {
      entry.cancel();
      return 'cancelled';
    }
    return processId >>> connectionBits === this.gatewayId ? 'wrong_key' : 'other_gateway';
  }

  private processIdOf(number: number): number {
    return (this.gatewayId << connectionBits) | number;
  }
}
