/**
 * Requests to stores rather than to ranges: who is there, how is it, found a cluster. Few and slow; they share the
 * router's link but not its dispatcher. A question to all stores has many answers.
 */
import type { Clock, Timer } from '@flotilla/base';
import type { kv } from '@flotilla/shard/protocol';
import type { ClientLink, Response } from './client-link.ts';

/** A Request without its id and timeout. */
export type RequestBody = Omit<
  Parameters<typeof kv.Request.encode>[0],
  'requestId' | 'timeoutMs' | 'rangeId' | 'generation'
>;

export interface StoreRequest {
  /** 0: all stores. */
  readonly to: number;
  readonly body: RequestBody;
  /** How often it is sent again until it is over: frames may be lost, stores may be starting. Unit: ms. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** @returns true: that was the last answer needed */
  readonly onAnswer: (response: Response) => boolean;
  /** Once: with true when `onAnswer` had enough, with false when the time was up or the link closed. */
  readonly onEnd: (satisfied: boolean) => void;
}

interface Open {
  readonly request: StoreRequest;
  readonly requestId: number;
  readonly deadlineAtMs: number;
  timer: Timer | undefined;
}

export class StoreRequests {
  private readonly clock: Clock;
  private readonly encode: typeof kv.Request.encode;
  private link: ClientLink | undefined;
  private readonly open = new Map<number, Open>();

  constructor(clock: Clock, encode: typeof kv.Request.encode) {
    this.clock = clock;
    this.encode = encode;
  }

  wire(link: ClientLink): void {
    this.link = link;
  }

  /** @returns a function that ends it without a word */
  ask(request: StoreRequest): () => void {
    const requestId = this.link?.nextRequestId() ?? 0;
    const deadlineAtMs = this.clock.nowMs() + request.timeoutMs;
    const open: Open = { request, requestId, deadlineAtMs, timer: undefined };
    this.open.set(requestId, open);
    this.send(open);
    return () => this.forget(open);
  }

  /** @returns false: nobody here asked for this */
  onResponse(response: Response): boolean {
    const open = this.open.get(response.requestId);
    if (open === undefined) return false;
    if (open.request.onAnswer(response) && this.open.has(open.requestId)) this.end(open, true);
    return true;
  }

  close(): void {
    for (const open of [...this.open.values()]) this.end(open, false);
  }

  private send(open: Open): void {
    const left = open.deadlineAtMs - this.clock.nowMs();
    if (left <= 0) {
      this.end(open, false);
      return;
    }
    const { request, requestId } = open;
    const bytes = this.encode({
      ...request.body,
      requestId,
      timeoutMs: Math.ceil(left),
    }).finish();
    if (this.link?.connected === true) {
      if (request.to === 0) this.link.sendToAll(bytes);
      else this.link.send(request.to, bytes);
    }
    open.timer = this.clock.setTimer(Math.min(left, request.everyMs), () => this.send(open));
  }

  private end(open: Open, satisfied: boolean): void {
    this.forget(open);
    open.request.onEnd(satisfied);
  }

  private forget(open: Open): void {
    open.timer?.cancel();
    this.open.delete(open.requestId);
  }
}
