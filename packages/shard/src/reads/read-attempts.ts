/**
 * A read of a transaction on its way: tried on the state of the moment, made to wait for what is in its way, tried again.
 * The value is taken first and the lease checked then; without a lease a quorum confirms, and the value is taken anew.
 */
import {
  type Answer,
  busyRefusal,
  type Caller,
  RefusalReason,
  refusal,
} from '../replica/answers.ts';
import type { Leaseholder } from '../replica/leaseholder.ts';
import type { Attempt } from '../replica/leaseholder-core.ts';
import type { Replica } from '../replica/replica.ts';
import { nameOf } from '../state/transaction-rows.ts';
import { waitForLock } from '../transaction/obstacles.ts';
import type { Waits } from './read-obstacles.ts';
import type { Reads, ReadsOptions } from './reads.ts';

/** A read, from its arrival to its answer. */
export interface Read {
  readonly caller: Caller;
  readonly replica: Replica;
  readonly attempt: TryRead;
  /** Monotonic ms; 0 = it has not waited. */
  waitUntilMs: number;
  /** The latest snapshot that a quorum can confirm: of when it was asked. 0 = it was not, or too early to count. */
  askedAt: number;
}

/** One try on the state of this moment. */
export type TryRead = (read: Read, leaseholder: Leaseholder) => Outcome;

export type Outcome =
  /** Holds without a lease, or is only a hint. */
  | { readonly kind: 'refused'; readonly answer: Answer }
  | Waits
  /** Waits in the queue of a lock. */
  | { readonly kind: 'queued'; readonly queue: () => void }
  /** The value is taken: it counts if the lease holds now. */
  | { readonly kind: 'taken'; readonly finish: () => void; readonly cancel?: () => void };

export class ReadAttempts {
  private readonly options: ReadsOptions;
  private readonly reads: Reads;

  constructor(options: ReadsOptions, reads: Reads) {
    this.options = options;
    this.reads = reads;
  }

  /** @returns the answer if there is one at once; otherwise it is sent later */
  begin(caller: Caller, replica: Replica, attempt: TryRead): Answer | undefined {
    const read: Read = { caller, replica, waitUntilMs: 0, askedAt: 0, attempt };
    return this.serve(read);
  }

  /** Waits in the queue of a lock, and is tried anew then. */
  queued(read: Read, leaseholder: Leaseholder, lock: Parameters<typeof waitForLock>[2]): Outcome {
    const { caller } = read;
    const attempt: Attempt = { caller, waitUntilMs: 0, evaluate: () => this.serve(read) };
    return { kind: 'queued', queue: () => waitForLock(leaseholder, attempt, lock) };
  }

  /** Until nothing of its time is on its way to the key any more; then it is tried anew. */
  wait(read: Read, { key, giveUp }: Waits): Answer | undefined {
    const { clock, limits, answers } = this.options;
    const { caller, replica } = read;
    const now = clock.nowMs();
    if (read.waitUntilMs === 0)
      read.waitUntilMs = Math.min(now + limits.intentWaitMs, caller.deadlineMs);
    if (read.waitUntilMs <= now) return giveUp;
    replica.leaseholder?.resolveIfAnnounced(key);
    const parked = replica.waitingRoom.park(nameOf(key), {
      untilMs: read.waitUntilMs,
      retry: () => this.sendIfAny(caller, this.serve(read)),
      giveUp: () => answers.send(caller, giveUp),
    });
    return parked ? undefined : busyRefusal(limits, 'too many reads wait');
  }

  /** @param confirmed the leaseholder that a quorum has confirmed since the read came */
  private serve(read: Read, confirmed?: Leaseholder): Answer | undefined {
    const { caller, replica } = read;
    const { leaseholder } = replica;
    const { clock, consensus, limits } = this.options;
    if (leaseholder === undefined || replica.isRemoved) return replica.notLeaseholder();
    if (caller.deadlineMs <= clock.nowMs())
      return refusal(RefusalReason.DEADLINE, 'waited too long');
    if (confirmed !== undefined && confirmed !== leaseholder) return replica.notLeaseholder();
    if (!leaseholder.isReady) {
      if (confirmed !== undefined) return busyRefusal(limits, 'the leaseholder is new');
      this.confirm(read, leaseholder);
      return undefined;
    }
    const outcome = read.attempt(read, leaseholder);
    switch (outcome.kind) {
      case 'refused':
        return outcome.answer;
      case 'queued':
        outcome.queue();
        return undefined;
      case 'waits':
        return this.wait(read, outcome);
      case 'taken':
        if ((confirmed && read.askedAt > 0) || consensus.leaseValid(replica.rangeId))
          outcome.finish();
        else {
          outcome.cancel?.();
          this.confirm(read, leaseholder);
        }
        return undefined;
    }
  }

  /**
   * A quorum that answers has seen the time of the question, and so has whoever leads next: what is written then is later.
   * The answers may be old when they come, so of a later time than that they say nothing.
   */
  private confirm(read: Read, leaseholder: Leaseholder): void {
    const { caller, replica } = read;
    const { hlc } = leaseholder.context;
    read.askedAt = leaseholder.isReady ? Math.max(hlc.now(), leaseholder.lastTimestamp) : 0;
    this.reads.barriers.after(caller, replica, () =>
      this.sendIfAny(caller, this.serve(read, leaseholder)),
    );
  }

  private sendIfAny(caller: Caller, answer: Answer | undefined): void {
    if (answer !== undefined) this.options.answers.send(caller, answer);
  }
}
