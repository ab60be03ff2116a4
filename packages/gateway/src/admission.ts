/** Counts connections, so that those who have not said who they are cannot crowd out the others. */
import type { GatewayLimits } from './limits.ts';

export class Admission {
  private readonly limits: GatewayLimits;
  private readonly waitingByAddress = new Map<string, number>();
  private waiting = 0;
  private serving = 0;

  constructor(limits: GatewayLimits) {
    this.limits = limits;
  }

  /** A socket has been accepted. False: refuse it, and do not call `leave`. */
  arrive(address: string): boolean {
    const { unauthenticatedMax, unauthenticatedPerAddressMax } = this.limits;
    const sameAddress = this.waitingByAddress.get(address) ?? 0;
    if (this.waiting >= unauthenticatedMax || sameAddress >= unauthenticatedPerAddressMax) {
      return false;
    }
    this.waiting++;
    this.waitingByAddress.set(address, sameAddress + 1);
    return true;
  }

  /** It has authenticated. False: too many clients; it stays among the waiting until it leaves. */
  promote(address: string): boolean {
    if (this.serving >= this.limits.connectionsMax) return false;
    this.forget(address);
    this.serving++;
    return true;
  }

  /** It is gone. `promoted` as `promote` said. */
  leave(address: string, promoted: boolean): void {
    if (promoted) this.serving--;
    else this.forget(address);
  }

  private forget(address: string): void {
    this.waiting--;
    const left = (this.waitingByAddress.get(address) ?? 1) - 1;
    if (left === 0) this.waitingByAddress.delete(address);
    else this.waitingByAddress.set(address, left);
  }
}
