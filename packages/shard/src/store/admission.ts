/**
 * What is under way on the kv channel, and the way back: admits requests up to a bound and while the store keeps up,
 * encodes answers and hands them to the outbox, which sends all answers of a turn to one client as one frame.
 */
import { assert, Buckets, type Clock, type Outbox } from '@flotilla/base';
import type { StoreLimits } from '../limits.ts';
import type { Answer, Answers, Caller } from '../replica/answers.ts';
import { encodeAnswer } from './answer-encoding.ts';

/** Of so many requests one is timed. A power of two. */
const timedOneOf = 16;

export class Admission implements Answers {
  private readonly outbox: Outbox;
  private readonly limits: StoreLimits;
  private readonly isBusy: () => boolean;
  /** Requests answered since the process began. */
  answered = 0;
  /** By number of the reason: answers that were refusals. */
  readonly refusals: number[] = [];
  readonly sampledTimes: Buckets = new Buckets();
  private readonly clock: Clock;
  private admitted = 0;
  private requests = 0;
  private bytes = 0;
  private readonly idleWaiters: (() => void)[] = [];

  /** @param isBusy whether the store falls behind: asked once per request */
  constructor(clock: Clock, outbox: Outbox, limits: StoreLimits, isBusy: () => boolean) {
    this.clock = clock;
    this.outbox = outbox;
    this.limits = limits;
    this.isBusy = isBusy;
  }

  get inFlight(): number {
    return this.requests;
  }

  /** Undefined: too much is under way. An admitted request must be answered by `send`, once. */
  admit(
    clientId: string,
    requestId: number,
    bytes: number,
    deadlineMs: number,
  ): Caller | undefined {
    const { limits } = this;
    // Never nothing: a store that is slow because of its neighbours goes on serving as well as it can.
    const requestsMax = this.isBusy() ? limits.requestsInFlightBusyMax : limits.requestsInFlightMax;
    if (this.requests >= requestsMax || this.bytes + bytes > limits.requestBytesInFlightMax)
      return undefined;
    this.requests++;
    this.bytes += bytes;
    const isTimed = (this.admitted++ & (timedOneOf - 1)) === 0;
    const timedFromMs = isTimed ? this.clock.nowMs() : undefined;
    return { clientId, requestId, bytes, deadlineMs, timedFromMs };
  }

  send(caller: Caller, answer: Answer): void {
    if (caller.onAnswer !== undefined) {
      caller.onAnswer(answer);
      return;
    }
    const { timedFromMs } = caller;
    if (timedFromMs !== undefined) this.sampledTimes.observe(this.clock.nowMs() - timedFromMs);
    this.requests--;
    this.answered++;
    this.bytes -= caller.bytes;
    assert(this.requests >= 0 && this.bytes >= 0, 'every request is answered once');
    this.sendUncounted(caller.clientId, caller.requestId, answer);
    if (this.requests > 0) return;
    for (const wake of this.idleWaiters.splice(0)) wake();
  }

  /** For requests that were never admitted. Nobody waits for the answer to request 0. */
  sendUncounted(clientId: string, requestId: number, answer: Answer): void {
    const reason = answer.refusal?.reason;
    if (reason) this.refusals[reason] = (this.refusals[reason] ?? 0) + 1;
    if (requestId === 0) return;
    this.outbox.enqueue({ kind: 'client', clientId }, encodeAnswer(requestId, answer));
  }

  /** Resolves when nothing admitted is unanswered. */
  whenIdle(): Promise<void> {
    if (this.requests === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleWaiters.push(resolve));
  }
}
