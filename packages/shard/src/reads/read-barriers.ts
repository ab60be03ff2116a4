/**
 * Confirmations for reads without a lease: one per range and turn, for all reads that arrived before it was asked for.
 */
import type { Clock } from '@flotilla/base';
import type { MultiRaft, ReadGrant } from '@flotilla/raft';
import type { StoreLimits } from '../limits.ts';
import {
  type Answer,
  type Answers,
  busyRefusal,
  type Caller,
  RefusalReason,
  refusal,
} from '../replica/answers.ts';
import type { Replica } from '../replica/replica.ts';

export interface ReadBarriersOptions {
  readonly consensus: Pick<MultiRaft, 'readBarrier'>;
  readonly clock: Clock;
  readonly answers: Answers;
  readonly limits: Pick<StoreLimits, 'busyRetryAfterMs'>;
  readonly onFatal: (error: unknown) => void;
}

export class ReadBarriers {
  private readonly options: ReadBarriersOptions;
  /** Reads of this turn that wait for one confirmation per range. */
  private readonly waiting = new Map<Replica, ((grant: ReadGrant) => void)[]>();

  constructor(options: ReadBarriersOptions) {
    this.options = options;
  }

  /** Calls `read` when a quorum has confirmed, or answers why not. */
  after(caller: Caller, replica: Replica, read: () => void): void {
    const { answers, clock } = this.options;
    let waiters = this.waiting.get(replica);
    if (waiters === undefined) {
      waiters = [];
      this.waiting.set(replica, waiters);
      clock.afterTurn(() => this.ask(replica));
    }
    waiters.push((grant) => {
      if (!grant.ok) answers.send(caller, this.refused(replica, grant.reason));
      else if (caller.deadlineMs <= clock.nowMs())
        answers.send(caller, refusal(RefusalReason.DEADLINE, 'waited too long'));
      else if (replica.isRemoved) answers.send(caller, replica.notLeaseholder());
      else read();
    });
  }

  private refused(
    replica: Replica,
    reason: (ReadGrant & { readonly ok: false })['reason'],
  ): Answer {
    switch (reason) {
      case 'tooManyPending':
        return busyRefusal(this.options.limits, 'too many reads wait for confirmation');
      case 'stopped':
        return refusal(RefusalReason.STOPPING, 'the store is stopping');
      case 'notLeader':
      case 'noSuchGroup':
        return replica.notLeaseholder();
    }
  }

  private ask(replica: Replica): void {
    const waiters = this.waiting.get(replica) ?? [];
    this.waiting.delete(replica);
    this.options.consensus
      .readBarrier(replica.rangeId)
      .then((grant) => {
        for (const waiter of waiters) waiter(grant);
      })
      .catch((error: unknown) => this.options.onFatal(error));
  }
}
