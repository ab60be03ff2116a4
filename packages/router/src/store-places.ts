/**
 * How far away stores are, as their own rows tell: on this machine, in this zone, elsewhere. Read when somebody wants to
 * know, and again when that is long ago, in the background: until it is known, and where nothing is said of this process's
 * own place, all stores are equally far. A hint, never a reason not to ask.
 */
import { type Clock, DbError } from '@flotilla/base';

/** Where a process runs, in the words of the stores' settings. */
export interface Place {
  readonly machine?: string | undefined;
  readonly zone?: string | undefined;
}

export interface StorePlacesOptions {
  readonly clock: Clock;
  /** Undefined: not known. */
  readonly own: Place | undefined;
  readonly read: () => Promise<ReadonlyMap<number, Place>>;
}

/** Unit: ms. */
const refreshAfterMs = 60_000;

export class StorePlaces {
  private readonly options: StorePlacesOptions;
  private places: ReadonlyMap<number, Place> = new Map();
  private readAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: StorePlacesOptions) {
    this.options = options;
  }

  /** 0: the same machine; 1: the same zone; 2: elsewhere, or not known. */
  distance(storeId: number): number {
    const { own } = this.options;
    if (own === undefined) return 2;
    this.maybeRefresh();
    const place = this.places.get(storeId);
    if (place === undefined) return 2;
    if (own.machine && own.machine === place.machine) return 0;
    return own.zone && own.zone === place.zone ? 1 : 2;
  }

  private maybeRefresh(): void {
    const { clock } = this.options;
    const now = clock.nowMs();
    if (now - this.readAtMs < refreshAfterMs) return;
    this.readAtMs = now;
    clock.afterTurn(() => void this.refresh());
  }

  private async refresh(): Promise<void> {
    try {
      this.places = await this.options.read();
    } catch (error) {
      // Asked again later: what was known still is.
      if (!(error instanceof DbError)) throw error;
    }
  }
}
