/**
 * Attempts under way, by their request ids: the newest of each call, and the last few before it, whose answers may still
 * come and are good. Sends nothing, waits for nothing.
 */
import { IdTable } from './id-table.ts';
import type { RangeCall } from './range-call.ts';

export class FlyingCalls {
  private readonly earlierMax: number;
  private readonly byId = new IdTable<RangeCall>();
  /** Newest attempts. */
  private readonly perStore = new Map<number, number>();

  /** @param earlierMax attempts of one call whose late answers are still taken */
  constructor(earlierMax: number) {
    this.earlierMax = earlierMax;
  }

  /** The call's newest attempt. */
  take(call: RangeCall, requestId: number, storeId: number): void {
    call.requestId = requestId;
    call.storeId = storeId;
    this.byId.set(requestId, call);
    this.perStore.set(storeId, (this.perStore.get(storeId) ?? 0) + 1);
  }

  find(requestId: number): RangeCall | undefined {
    return this.byId.get(requestId);
  }

  /** Calls whose newest attempt is at the store; as each comes up, since what is done with one may end others. */
  *at(storeId: number): Iterable<RangeCall> {
    if ((this.perStore.get(storeId) ?? 0) === 0) return;
    for (const call of new Set(this.byId.all()))
      if (call.requestId !== 0 && call.storeId === storeId) yield call;
  }

  /** The attempt is over: answered, or nobody waits for it in particular. */
  land(call: RangeCall): void {
    this.byId.delete(call.requestId);
    call.requestId = 0;
    this.perStore.set(call.storeId, (this.perStore.get(call.storeId) ?? 1) - 1);
  }

  /** The call goes on without this attempt, though its answer may still come. */
  giveUp(call: RangeCall): void {
    const { requestId } = call;
    this.land(call);
    this.byId.set(requestId, call);
    call.earlierIds ??= [];
    call.earlierIds.push(requestId);
    if (call.earlierIds.length > this.earlierMax) this.byId.delete(call.earlierIds.shift() ?? 0);
  }

  /** An earlier attempt was answered. */
  forgetEarlier(call: RangeCall, requestId: number): void {
    this.byId.delete(requestId);
    const index = call.earlierIds?.indexOf(requestId) ?? -1;
    if (index >= 0) call.earlierIds?.splice(index, 1);
  }

  /** No answer to the call counts any more. */
  forget(call: RangeCall): void {
    if (call.requestId !== 0) this.land(call);
    if (call.earlierIds !== undefined) for (const id of call.earlierIds) this.byId.delete(id);
  }
}
