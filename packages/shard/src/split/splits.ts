/**
 * Splits that this store's leaseholders carry out: checks that the range can be cut there now, gets an id for the right
 * half, proposes the entry, says what became of it. One at a time per range, a few at a time per store. What the entry
 * does when it is applied is the replicas' business.
 */
import {
  asBuffer,
  assert,
  compareBytes,
  keyBytesMax,
  type Logger,
  metaPrefix,
  type RangeId,
  rootEndKey,
  spanContains,
  toHex,
  toRangeId,
} from '@flotilla/base';
import type { MultiRaft } from '@flotilla/raft';
import type { flotilla } from '../../gen/kv.js';
import { isJoint } from '../membership/configuration.ts';
import type { RangeDescriptor } from '../range-descriptor.ts';
import { type Answer, RefusalReason, refusal } from '../replica/answers.ts';
import type { RangeSplit } from '../replica/command.ts';
import type { SplitOutcome } from '../replica/proposals.ts';
import type { Replica } from '../replica/replica.ts';
import type { RangeIds } from './range-ids.ts';

/** The row of the left half is named by the key that it ends at, and that is a key too. */
export const splitKeyBytesMax: number = keyBytesMax - metaPrefix.length;

export type SplitResult =
  | { readonly kind: 'done'; readonly left: RangeDescriptor; readonly right: RangeDescriptor }
  /** The range begins at the key already. */
  | { readonly kind: 'nothingToDo'; readonly descriptor: RangeDescriptor }
  | { readonly kind: 'outside' }
  | { readonly kind: 'notLeaseholder' }
  /** Not now; asked again later it may be possible. */
  | { readonly kind: 'notNow'; readonly reason: string }
  /** Leadership was lost while the entry was under way: it may have been cut. */
  | { readonly kind: 'unknown' };

export interface SplitsOptions {
  readonly logger: Logger;
  readonly rangeIds: RangeIds;
  readonly raft: Pick<MultiRaft, 'status'>;
  /** Members of this range are changing. */
  readonly isChanging: (rangeId: RangeId) => boolean;
  /** Splits of this store under way at once. */
  readonly splitsMax: number;
}

export class Splits {
  private readonly options: SplitsOptions;
  private readonly underWay = new Set<RangeId>();

  constructor(options: SplitsOptions) {
    this.options = options;
  }

  /** The range is being cut: nothing else should be changed about it. */
  isSplitting(rangeId: RangeId): boolean {
    return this.underWay.has(rangeId);
  }

  /** Resolves when the range is cut at `key`, or will not be. Never rejects. */
  async split(replica: Replica, key: Uint8Array): Promise<SplitResult> {
    const { rangeId } = replica;
    const refused = this.refuse(replica, key);
    if (refused !== undefined) return refused;
    this.underWay.add(rangeId);
    try {
      const newId = await this.options.rangeIds.take();
      if (newId === undefined)
        return { kind: 'notNow', reason: 'the meta range gives no id for the new range' };
      // Much may have happened meanwhile.
      this.underWay.delete(rangeId);
      const refusedNow = this.refuse(replica, key);
      this.underWay.add(rangeId);
      if (refusedNow !== undefined) return refusedNow;
      return await this.propose(replica, cut(replica.descriptor, key, toRangeId(newId)));
    } finally {
      this.underWay.delete(rangeId);
    }
  }

  /** A request of a client to a leaseholder. */
  async serve(replica: Replica, request: flotilla.kv.SplitRequest.$Properties): Promise<Answer> {
    const key = Buffer.from(asBuffer(request.splitKey ?? noBytes));
    if (key.length === 0 || key.length > splitKeyBytesMax)
      return refusal(RefusalReason.INVALID, `a split key has 1 to ${splitKeyBytesMax} bytes`);
    // Every look-up begins there: it is where no other look-up is needed to find it.
    if (compareBytes(key, rootEndKey) < 0)
      return refusal(
        RefusalReason.INVALID,
        `the root of the meta index stays in one range: a split key is ${toHex(rootEndKey)} or above`,
      );
    const result = await this.split(replica, key);
    switch (result.kind) {
      case 'done':
        return { split: { ok: true, message: '', left: result.left, right: result.right } };
      case 'nothingToDo':
        return { split: { ok: true, message: '', right: result.descriptor } };
      case 'notNow':
        return { split: { ok: false, message: result.reason, left: replica.descriptor } };
      case 'outside':
        return replica.keyMismatch({ startKey: key, endKey: Buffer.concat([key, zero]) });
      case 'notLeaseholder':
        return replica.notLeaseholder();
      case 'unknown':
        return refusal(RefusalReason.UNKNOWN_OUTCOME, 'leadership was lost during the split', {
          ranges: [replica.info()],
        });
    }
  }

  private refuse(replica: Replica, key: Uint8Array): SplitResult | undefined {
    const { descriptor, rangeId, leaseholder } = replica;
    const { raft, isChanging, splitsMax } = this.options;
    if (leaseholder === undefined) return { kind: 'notLeaseholder' };
    if (!spanContains(descriptor, key)) return { kind: 'outside' };
    if (compareBytes(key, descriptor.startKey) === 0) return { kind: 'nothingToDo', descriptor };
    const notNow = (reason: string): SplitResult => ({ kind: 'notNow', reason });
    if (!leaseholder.isReady) return notNow('the leaseholder is not ready yet');
    if (this.underWay.has(rangeId)) return notNow('the range is being split already');
    if (this.underWay.size >= splitsMax) return notNow('too many splits are under way');
    const status = raft.status(rangeId);
    if (isJoint(descriptor) || isChanging(rangeId) || status?.configurationPending !== false)
      return notNow('the members of the range are changing');
    return undefined;
  }

  private propose(replica: Replica, split: RangeSplit): Promise<SplitResult> {
    const { logger } = this.options;
    const { rangeId } = replica;
    const { left, right } = split;
    return new Promise((resolve) => {
      const onDone = (outcome: SplitOutcome): void => {
        logger.info({ rangeId, right: right.rangeId, outcome }, 'range_split');
        resolve(resultOf(outcome, split));
      };
      if (replica.leaseholder?.split(split, onDone) !== true)
        resolve({ kind: 'notNow', reason: 'the leaseholder is busy with a span' });
      else
        logger.info(
          { rangeId, right: right.rangeId, generation: left.generation },
          'range_split_proposed',
        );
    });
  }
}

/** What the range becomes: the same members on both sides, and a generation that is newer than all before. */
function cut(descriptor: RangeDescriptor, key: Uint8Array, rightId: RangeId): RangeSplit {
  assert(key.length <= splitKeyBytesMax, 'the index can have a row of the left half');
  const generation = descriptor.generation + 1;
  const both = { ...descriptor, generation, boundsGeneration: generation };
  return {
    left: { ...both, endKey: key },
    right: { ...both, rangeId: rightId, startKey: key },
  };
}

function resultOf(outcome: SplitOutcome, split: RangeSplit): SplitResult {
  switch (outcome) {
    case 'applied':
      return { kind: 'done', ...split };
    case 'void':
      return { kind: 'notNow', reason: 'the range was changed meanwhile' };
    case 'abandoned':
      return { kind: 'notLeaseholder' };
    case 'unknown':
      return { kind: 'unknown' };
  }
}

const noBytes = new Uint8Array(0);
const zero = Buffer.of(0);
