/**
 * What one other store was told to be closed: per range the index up to which it must have applied. Turns one walk over the
 * ranges into messages that say only what changed. A lost message is noticed by the other side, which then asks for all of
 * it (`heard-closed.ts`). Owned by `closing.ts`; knows no clock and sends nothing.
 */
import { assert } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';

export type ClosedMessage = flotilla.kv.ClosedTimestamps.$Properties;

interface Told {
  index: number;
  /** The walk that found it last. */
  walk: number;
}

export interface ToldOptions {
  readonly incarnation: number;
  /** Changes per message. */
  readonly changesPerMessage: number;
}

export class ToldRanges {
  private readonly options: ToldOptions;
  private readonly told = new Map<number, Told>();
  private changed: number[] = [];
  private sequence = 0;
  private fromNothing = true;
  private walk = 0;

  constructor(options: ToldOptions) {
    this.options = options;
  }

  /** Everything is to be told again. */
  forget(): void {
    this.fromNothing = true;
  }

  /** In this walk: behind `index` nothing of the range is at or below what is about to be closed. */
  note(rangeId: number, index: number): void {
    assert(index > 0, 'a leader has an entry of its own', { rangeId });
    const told = this.told.get(rangeId);
    if (told === undefined) this.told.set(rangeId, { index, walk: this.walk });
    else {
      told.walk = this.walk;
      if (told.index === index) return;
      told.index = index;
    }
    this.changed.push(rangeId);
  }

  /** The walk is over. @returns what to send, in order; nothing where nothing was, and is, to be said */
  take(closedTimestamp: number): readonly ClosedMessage[] {
    const removed: number[] = [];
    for (const [rangeId, { walk }] of this.told) if (walk !== this.walk) removed.push(rangeId);
    for (const rangeId of removed) this.told.delete(rangeId);
    this.walk++;
    const { changed, fromNothing } = this;
    this.changed = [];
    if (this.told.size === 0 && removed.length === 0) return [];
    this.fromNothing = false;
    return this.messages(
      fromNothing ? [...this.told.keys()] : changed,
      fromNothing ? [] : removed,
      { closedTimestamp, fromNothing },
    );
  }

  private messages(
    changed: readonly number[],
    removedRangeIds: readonly number[],
    { closedTimestamp, fromNothing }: { closedTimestamp: number; fromNothing: boolean },
  ): readonly ClosedMessage[] {
    const { incarnation, changesPerMessage } = this.options;
    const messages: ClosedMessage[] = [];
    let from = 0;
    do {
      const rangeIds = changed.slice(from, from + changesPerMessage);
      const base = fromNothing && from === 0 ? 0 : this.sequence;
      from += changesPerMessage;
      const isLast = from >= changed.length;
      messages.push({
        incarnation,
        sequence: ++this.sequence,
        base,
        // What is still to come has an index that is too low for it.
        closedTimestamp: isLast ? closedTimestamp : 0,
        rangeIds,
        indexes: rangeIds.map((rangeId) => this.told.get(rangeId)?.index ?? 0),
        removedRangeIds: isLast ? [...removedRangeIds] : [],
      });
    } while (from < changed.length);
    return messages;
  }
}
