/**
 * What is left to do when the user has heard the end of a transaction: its record is decided, its intents become
 * versions or go, its record is forgotten. Runs behind everybody's back, many transactions together. Nothing here can
 * change an outcome: what is not done here is done by whoever meets what was left.
 */
import { assert, type Clock, DbError, type Logger, type Timer, toHex } from '@flotilla/base';
import type { RecordAddress, Resolution, TransactionRouter } from '@flotilla/router';

export interface Finished extends RecordAddress {
  readonly committed: boolean;
  /** Of the record. */
  readonly commitTimestamp: number;
  readonly keys: readonly Uint8Array[];
  /** The record says so already. */
  readonly decided: boolean;
  /** Stores have been told that it is committed: nobody waits for its intents. */
  readonly announced: boolean;
  /** All is done here that will be done. */
  readonly onEnd: () => void;
}

/**
 * Decisions and resolutions of many transactions leave together, in one frame per store and one log entry per range.
 * Nobody waits for them: an intent that was announced is as good as a version. Unit: ms.
 */
const lingerMs = 100;
/** The same for intents that others may wait for. Unit: ms. */
const urgentLingerMs = 2;
/** A record that nobody needs any more goes with many others. Unit: ms. */
const forgetLingerMs = 150;
/** More transactions than this and commits wait for room. */
const openMax = 10_000;
/** Tries of each step; its deadline in between is the router's. */
const triesMax = 3;
const stepTimeoutMs = 5000;

/** Intents that a decision resolves beside itself. */
const keysPerDecision = 2000;
/** Intents that are resolved in one step: several messages, some of them under way together. */
const keysPerStep = 20_000;

/** Those that go with the decision; what else there is follows by itself. */
export function keysToResolve(keys: readonly Uint8Array[]): readonly Uint8Array[] {
  return keys.length > keysPerDecision ? keys.slice(0, keysPerDecision) : keys;
}

interface Queued {
  readonly resolution: Resolution;
  readonly done: (ok: boolean) => void;
}

export class ResolutionQueue {
  private readonly router: TransactionRouter;
  private readonly clock: Clock;
  private readonly logger: Logger;
  /** What leaves in the next round: decisions to begin, resolutions to send. */
  private decisions: (() => void)[] = [];
  private queue: Queued[] = [];
  private linger: Timer | undefined;
  /** The next round is one that somebody may wait for. */
  private isUrgent = false;
  /** Records to forget. They leave with a round, if one comes. */
  private forgotten: Queued[] = [];
  private forgetting: Timer | undefined;
  private open = 0;
  private waiters: (() => void)[] = [];

  constructor(router: TransactionRouter, clock: Clock, logger: Logger) {
    this.router = router;
    this.clock = clock;
    this.logger = logger;
  }

  /** Resolves when there is room for another transaction. */
  async room(): Promise<void> {
    while (this.open >= openMax) await this.next();
  }

  /** Resolves when nothing is left to do. */
  async idle(): Promise<void> {
    while (this.open > 0) await this.next();
  }

  add(finished: Finished): void {
    this.open++;
    void this.finish(finished)
      .catch((error: unknown) => {
        this.logger.debug(
          { transaction: toHex(finished.transactionId), err: error },
          'transaction_left_to_others',
        );
      })
      .finally(() => {
        this.open--;
        finished.onEnd();
        const { waiters } = this;
        this.waiters = [];
        for (const waiter of waiters) waiter();
      });
  }

  private async finish(finished: Finished): Promise<void> {
    const { transactionId, anchorKey, committed, commitTimestamp, announced } = finished;
    let { keys } = finished;
    if (!finished.decided) {
      if (announced) await this.nextRound();
      const resolved = new Set(await this.decide(finished));
      keys = keys.filter((key) => !resolved.has(key));
    }
    const resolution = { transactionId, committed, commitTimestamp };
    for (let at = 0; at < keys.length; at += keysPerStep) {
      const step = { ...resolution, keys: keys.slice(at, at + keysPerStep) };
      if (!(await this.enqueue(step, announced))) return;
    }
    // The record may go only when nothing refers to it any more. That of an abort stays for late messages.
    if (committed)
      await this.forget({
        ...resolution,
        keys: [],
        forgetAnchorKey: anchorKey,
        byCoordinator: true,
      });
  }

  /** @returns the keys that were resolved with it */
  private async decide(finished: Finished): Promise<readonly Uint8Array[]> {
    const { transactionId, anchorKey, commitTimestamp, keys } = finished;
    for (let tries = 1; ; tries++) {
      try {
        // All intents have been laid, so nobody can decide otherwise.
        const { status, resolved } = await this.router.decide(
          {
            transactionId,
            anchorKey,
            expected: 'staging',
            expectedTimestamp: commitTimestamp,
            outcome: 'committed',
            resolveKeys: keysToResolve(keys),
            forget: false,
          },
          { timeoutMs: stepTimeoutMs },
        );
        assert(status !== 'aborted', 'a promise that was kept is not broken by others');
        return status === 'committed' ? resolved : [];
      } catch (error) {
        if (tries >= triesMax || !(error instanceof DbError)) throw error;
      }
    }
  }

  private nextRound(): Promise<void> {
    return new Promise((begin) => {
      this.decisions.push(begin);
      this.linger ??= this.clock.setTimer(lingerMs, () => this.round());
    });
  }

  /** @param patient nobody waits for it */
  private enqueue(resolution: Resolution, patient: boolean): Promise<boolean> {
    return new Promise((done) => {
      this.queue.push({ resolution, done });
      if (patient) {
        this.linger ??= this.clock.setTimer(lingerMs, () => this.round());
        return;
      }
      // What comes meanwhile goes along, and does not put it off: otherwise a stream of them would never leave.
      if (this.isUrgent) return;
      this.isUrgent = true;
      this.linger?.cancel();
      this.linger = this.clock.setTimer(urgentLingerMs, () => this.round());
    });
  }

  private forget(resolution: Resolution): Promise<boolean> {
    return new Promise((done) => {
      this.forgotten.push({ resolution, done });
      this.forgetting ??= this.clock.setTimer(forgetLingerMs, () => {
        this.forgetting = undefined;
        const { forgotten } = this;
        this.forgotten = [];
        this.queue.push(...forgotten);
        if (this.linger === undefined) this.round();
      });
    });
  }

  /** Everything in one turn: what goes to one store shares a frame, and what goes to one range a log entry. */
  private round(): void {
    this.linger?.cancel();
    this.linger = undefined;
    this.isUrgent = false;
    const { queue, decisions } = this;
    this.queue = [];
    this.decisions = [];
    for (const begin of decisions) begin();
    if (queue.length === 0) return;
    const resolutions = queue.map(({ resolution }) => resolution);
    void this.resolve(resolutions).then((ok) => {
      for (const { done } of queue) done(ok);
    });
  }

  private async resolve(resolutions: readonly Resolution[]): Promise<boolean> {
    for (let tries = 1; tries <= triesMax; tries++) {
      try {
        await this.router.resolve(resolutions, { timeoutMs: stepTimeoutMs });
        return true;
      } catch (error) {
        this.logger.debug({ err: error, transactions: resolutions.length }, 'resolution_failed');
      }
    }
    return false;
  }

  private next(): Promise<void> {
    return new Promise((resolve) => {
      this.waiters.push(resolve);
    });
  }
}
