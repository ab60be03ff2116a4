/**
 * What a new leaseholder knows of those before it, and hence when its writes may begin. Earlier leaders served snapshots
 * up to their own clocks, which may be ahead of this one by the greatest offset; writes must come above them.
 *
 * `unknown`: it waits for `takeOverWaitMs` after the election, by the wall clock. Reads of a lease ended when the lease
 * did, and an election without a transfer comes an election timeout after the leader was heard of last, which is longer
 * than a lease: so much of the offset has passed already. Reads that a quorum confirmed need no wait: a member of it
 * brought their timestamps here in the frame of its vote.
 *
 * `handedOver`: the leader of the term before said up to when it and all before it had served (`TimeoutNow.handOver`). It
 * gave up its lease before it said so, for the rest of its term; what it served later, a quorum confirmed. A leader that
 * was still waiting itself knows nothing, and says so.
 *
 * `cutOff`: the range began in a split under this very store's leadership and has had no other leader: what was read of
 * its keys is known one by one.
 */
import type { InheritedLocks } from '../transaction/inherited-locks.ts';
import type { ReadTimestampCache } from '../transaction/read-timestamp-cache.ts';

export type TakeOver =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'handedOver'; readonly servedUpTo: number }
  | {
      readonly kind: 'cutOff';
      readonly reads: ReadTimestampCache;
      readonly locks: InheritedLocks;
    };
