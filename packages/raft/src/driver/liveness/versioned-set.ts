/**
 * A set of leaderships that one store keeps and another holds a copy of, kept alike by messages that may be lost, doubled
 * or overtaken. Every change is a version. The keeper sends what changed since the version that the other side is known
 * to hold, again and again until it hears of a newer one; the holder takes a delta only if nothing is missing before it.
 * Both belong to one pair of processes: when either starts again, so do both ends of the set. Knows no clock.
 */
import { assert, type RangeId } from '@flotilla/base';
import type { Leadership, SetDelta } from '../../store-messages.ts';

interface Entry {
  readonly version: number;
  /** Undefined: removed. Forgotten once the other side knows. */
  readonly item: Leadership | undefined;
}

export class KeptSet {
  /** What is in the set, in the order of its last change. */
  private readonly items = new Map<RangeId, Entry>();
  /** Changes that the other side does not surely hold, removals too, in the order of their versions. */
  private unacknowledged = new Map<RangeId, Entry>();
  private version = 0;
  private acknowledged = 0;
  /** Older versions say nothing of what the other side holds: late messages from before may have brought it there. */
  private acknowledgedLeast = 1;

  get size(): number {
    return this.items.size;
  }
  /** The other side holds the set as it is. */
  get isAcknowledged(): boolean {
    return this.unacknowledged.size === 0;
  }
  get(rangeId: RangeId): Leadership | undefined {
    return this.items.get(rangeId)?.item;
  }
  rangeIds(): readonly RangeId[] {
    return [...this.items.keys()];
  }

  set(item: Leadership): void {
    const { rangeId } = item;
    const entry: Entry = { version: ++this.version, item };
    this.items.delete(rangeId);
    this.items.set(rangeId, entry);
    this.unacknowledged.delete(rangeId);
    this.unacknowledged.set(rangeId, entry);
  }

  /** True if it was there. */
  delete(rangeId: RangeId): boolean {
    if (!this.items.delete(rangeId)) return false;
    this.unacknowledged.delete(rangeId);
    this.unacknowledged.set(rangeId, { version: ++this.version, item: undefined });
    return true;
  }

  /** The other side holds `version`. Older news changes nothing; what was never sent is not believed. True if news. */
  acknowledge(version: number): boolean {
    if (version <= this.acknowledged || version > this.version) return false;
    if (version < this.acknowledgedLeast) return false;
    this.acknowledged = version;
    for (const [rangeId, entry] of this.unacknowledged) {
      if (entry.version > version) break;
      this.unacknowledged.delete(rangeId);
    }
    return true;
  }

  /** The other side is a new process: it holds nothing, or what messages that were late have brought it. */
  forgetAcknowledgement(): void {
    this.acknowledged = 0;
    this.acknowledgedLeast = this.version;
    this.unacknowledged = new Map(this.items);
  }

  /** What the other side may miss, in messages of at most `itemsMax` changes; at least one, the last one complete. */
  deltas(itemsMax: number): readonly SetDelta[] {
    const deltas: SetDelta[] = [];
    let base = this.acknowledged;
    let set: Leadership[] = [];
    let removed: RangeId[] = [];
    for (const [rangeId, { version, item }] of this.unacknowledged) {
      if (set.length + removed.length === itemsMax) {
        const upTo = version - 1;
        deltas.push({ base, version: upTo, complete: false, set, removed });
        base = upTo;
        set = [];
        removed = [];
      }
      if (item === undefined) removed.push(rangeId);
      else set.push(item);
    }
    deltas.push({ base, version: this.version, complete: true, set, removed });
    return deltas;
  }
}

export class HeldSet {
  private readonly items = new Map<RangeId, Leadership>();
  private held = 0;

  get version(): number {
    return this.held;
  }
  get(rangeId: RangeId): Leadership | undefined {
    return this.items.get(rangeId);
  }
  rangeIds(): readonly RangeId[] {
    return [...this.items.keys()];
  }

  /**
   * Takes a delta. `beforeChange` is called for each group that is about to change, while the old state still stands.
   * @returns false if something is missing before it (it changed nothing), or a newer one came first
   */
  apply(delta: SetDelta, beforeChange: (rangeId: RangeId) => void): boolean {
    if (delta.base > this.held || delta.version < this.held) return false;
    assert(delta.base <= delta.version, 'a delta goes forward');
    if (delta.version === this.held) return true;
    if (delta.base === 0) this.dropOthers(delta, beforeChange);
    for (const rangeId of delta.removed) {
      beforeChange(rangeId);
      this.items.delete(rangeId);
    }
    for (const item of delta.set) {
      beforeChange(item.rangeId);
      this.items.set(item.rangeId, item);
    }
    this.held = delta.version;
    return true;
  }

  /** From nothing on a delta says all there is up to its version: what else is here came before and is gone. */
  private dropOthers({ set }: SetDelta, beforeChange: (rangeId: RangeId) => void): void {
    if (this.items.size === 0) return;
    const stay = new Set(set.map(({ rangeId }) => rangeId));
    for (const rangeId of this.rangeIds()) {
      if (stay.has(rangeId)) continue;
      beforeChange(rangeId);
      this.items.delete(rangeId);
    }
  }
}

/** Whether an item says exactly this. */
export function says(item: Leadership | undefined, expected: Omit<Leadership, 'rangeId'>): boolean {
  return (
    item !== undefined &&
    item.term === expected.term &&
    item.leader === expected.leader &&
    item.follower === expected.follower
  );
}
