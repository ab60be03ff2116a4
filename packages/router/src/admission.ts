/** How much may be under way at once, in operations and bytes. What does not fit waits, first come first served. */
import type { RouterLimits } from './limits.ts';

export interface Admitted {
  readonly bytes: number;
  readonly settled: boolean;
  admitted: boolean;
  begin(): void;
  wait(): void;
}

export class Admission {
  private readonly limits: RouterLimits;
  private readonly queue = new Set<Admitted>();
  private operations = 0;
  private bytes = 0;

  constructor(limits: RouterLimits) {
    this.limits = limits;
  }

  enter(operation: Admitted): void {
    if (this.queue.size === 0 && this.fits(operation)) this.admit(operation);
    else {
      this.queue.add(operation);
      operation.wait();
    }
  }

  leave(operation: Admitted): void {
    if (!operation.admitted) {
      this.queue.delete(operation);
      return;
    }
    operation.admitted = false;
    this.operations--;
    this.bytes -= operation.bytes;
    while (this.queue.size > 0) {
      const [next] = this.queue;
      if (next === undefined || !this.fits(next)) return;
      this.queue.delete(next);
      this.admit(next);
    }
  }

  get underWay(): number {
    return this.operations;
  }

  get waiting(): number {
    return this.queue.size;
  }

  private fits(operation: Admitted): boolean {
    if (this.operations === 0) return true; // one that exceeds the limit goes alone
    return (
      this.operations < this.limits.operationsMax &&
      this.bytes + operation.bytes <= this.limits.operationBytesMax
    );
  }

  private admit(operation: Admitted): void {
    operation.admitted = true;
    this.operations++;
    this.bytes += operation.bytes;
    operation.begin();
  }
}
