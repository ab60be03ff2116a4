/**
 * Carries out what was decided: asks each range's leaseholder over the kv channel, waits until the members are what they
 * should be, or says what became of it. Decides nothing: an action is void if the range has changed since it was decided,
 * other than by the action itself.
 */
import { type Clock, type StoreId, toStoreId } from '@flotilla/base';
import type { flotilla } from '../../gen/kv.js';
import { checkDescriptor, type RangeDescriptor } from '../range-descriptor.ts';
import { RefusalReason } from '../replica/answers.ts';
import { type PlacementAction, voterStores } from './picture.ts';
import type { StoreClient } from './store-client.ts';

export interface ActionOutcome {
  readonly ok: boolean;
  /** For people: where the range is now, or why nothing came of it. */
  readonly text: string;
}

/** Unit: ms. Snapshots of large ranges take minutes; the leaseholder itself ends a change that makes no progress. */
const changeTimeoutMs = 10 * 60_000;
const transferTimeoutMs = 3000;
/**
 * Who is asked and says nothing for this long is working on it, or gone: another member is asked, which knows who leads
 * now. Asking the same leaseholder again only joins what it does.
 */
const askAgainMs = 3000;
const betweenMs = 200;
/** Silences in a row after which the change is left to be decided anew. */
const silencesMax = 6;

type AskedClient = Pick<StoreClient, 'request' | 'pause' | 'isStopped'>;

export class Executor {
  private readonly client: AskedClient;
  private readonly clock: Clock;

  constructor(client: AskedClient, clock: Clock) {
    this.client = client;
    this.clock = clock;
  }

  /** @param isVoid somebody else decides now: what was decided is asked for no more. A leaseholder may still finish it */
  run(
    action: PlacementAction,
    range: { readonly descriptor: RangeDescriptor; readonly leaseholder: StoreId | undefined },
    isVoid: () => boolean,
  ): Promise<ActionOutcome> {
    return action.kind === 'change'
      ? this.change(action, range, isVoid)
      : this.transfer(action, range.descriptor);
  }

  private async change(
    action: PlacementAction & { readonly kind: 'change' },
    {
      descriptor: before,
      leaseholder,
    }: { readonly descriptor: RangeDescriptor; readonly leaseholder: StoreId | undefined },
    isVoid: () => boolean,
  ): Promise<ActionOutcome> {
    const { rangeId, add, remove } = action;
    const deadlineAtMs = this.clock.nowMs() + changeTimeoutMs;
    let expectedGeneration = action.generation;
    let descriptor = before;
    let to = leaseholder ?? voterStores(before)[0];
    let silences = 0;
    while (to !== undefined && this.clock.nowMs() < deadlineAtMs && !this.client.isStopped) {
      if (isVoid())
        return { ok: false, text: 'another leaseholder of the first range decides now' };
      const changeReplicas = { add: [...add], remove: [...remove], expectedGeneration };
      const { generation } = descriptor;
      const body = { rangeId, generation, changeReplicas };
      const answer = await this.client.request(to, body, askAgainMs);
      if (answer?.changeReplicas) {
        const outcome = outcomeOf(answer.changeReplicas, action);
        const now = checkDescriptor(answer.changeReplicas.descriptor ?? {});
        const moved = now.ok && now.descriptor.generation > expectedGeneration;
        // It was this change that raised the generation, under the leaseholder before.
        if (outcome.ok || !moved || !isBegun(before, now.descriptor, add)) return outcome;
        descriptor = now.descriptor;
        expectedGeneration = descriptor.generation;
        continue;
      }
      silences = answer === undefined ? silences + 1 : 0;
      if (silences >= silencesMax) return { ok: false, text: `s${to} does not answer` };
      const { refusal } = answer ?? {};
      if (refusal && !isPassing(refusal.reason)) return { ok: false, text: refusal.message ?? '' };
      const next = newest(refusal, rangeId, descriptor);
      if (next !== undefined && next.descriptor.generation > descriptor.generation) {
        // A new leaseholder goes on where things stand, unless they stand otherwise than this change leaves them.
        if (!isBegun(before, next.descriptor, add))
          return isDone(next.descriptor, action)
            ? { ok: true, text: places(next.descriptor) }
            : { ok: false, text: 'somebody else changed the range meanwhile' };
        descriptor = next.descriptor;
        expectedGeneration = descriptor.generation;
      }
      to = next?.leaseholder ?? nextOf(voterStores(descriptor), to);
      await this.client.pause(betweenMs);
    }
    return { ok: false, text: 'it took too long' };
  }

  private async transfer(
    action: PlacementAction & { readonly kind: 'transfer' },
    { generation }: RangeDescriptor,
  ): Promise<ActionOutcome> {
    const { rangeId, from, to, rule } = action;
    const ifCalm = rule === 'balance-leases' || rule === 'balance-load';
    const body = { rangeId, generation, transferLease: { targetStoreId: to, ifCalm } };
    const answer = await this.client.request(from, body, transferTimeoutMs);
    if (answer === undefined) return { ok: false, text: `s${from} does not answer` };
    const { transferLease, refusal } = answer;
    if (transferLease?.ok) return { ok: true, text: `s${from} hands it over` };
    return { ok: false, text: transferLease?.message || refusal?.message || 'refused' };
  }
}

function outcomeOf(
  answer: flotilla.kv.ChangeReplicasResponse.$Properties,
  action: PlacementAction & { readonly kind: 'change' },
): ActionOutcome {
  const checked = checkDescriptor(answer.descriptor ?? {});
  const done = answer.ok === true || (checked.ok && isDone(checked.descriptor, action));
  if (!done) return { ok: false, text: answer.message ?? '' };
  return { ok: true, text: checked.ok ? places(checked.descriptor) : 'done' };
}

function places(descriptor: RangeDescriptor): string {
  return `it is on ${voterStores(descriptor)
    .sort((a, b) => a - b)
    .map((storeId) => `s${storeId}`)
    .join(', ')}`;
}

/** Who leads and what the range is, as a refusal says. */
function newest(
  refusal: flotilla.kv.Refusal.$Properties | null | undefined,
  rangeId: number,
  known: RangeDescriptor,
): { descriptor: RangeDescriptor; leaseholder: StoreId | undefined } | undefined {
  for (const info of refusal?.ranges ?? []) {
    const checked = checkDescriptor(info.descriptor ?? {});
    if (!checked.ok || checked.descriptor.rangeId !== rangeId) continue;
    const leaseholder = info.leaseholderStoreId ? toStoreId(info.leaseholderStoreId) : undefined;
    const { descriptor } = checked;
    return descriptor.generation < known.generation
      ? { descriptor: known, leaseholder }
      : { descriptor, leaseholder };
  }
  return undefined;
}

/** Nothing has happened but learners where the change wants voters. */
function isBegun(before: RangeDescriptor, now: RangeDescriptor, add: readonly StoreId[]): boolean {
  return (
    (before.boundsGeneration ?? 1) === (now.boundsGeneration ?? 1) &&
    same(voterStores(before), voterStores(now)) &&
    now.replicas.every(
      ({ storeId }) =>
        add.includes(storeId) || before.replicas.some((each) => each.storeId === storeId),
    )
  );
}

function isDone(
  now: RangeDescriptor,
  { add, remove }: { readonly add: readonly StoreId[]; readonly remove: readonly StoreId[] },
): boolean {
  const voters = voterStores(now);
  return (
    add.every((storeId) => voters.includes(storeId)) &&
    remove.every((storeId) => !now.replicas.some((each) => each.storeId === storeId))
  );
}

function same(a: readonly StoreId[], b: readonly StoreId[]): boolean {
  return a.length === b.length && a.every((storeId) => b.includes(storeId));
}

function nextOf(stores: readonly StoreId[], last: StoreId): StoreId | undefined {
  return stores[(stores.indexOf(last) + 1) % Math.max(1, stores.length)];
}

/** Asking again, there or elsewhere, may help. */
function isPassing(reason: number | null | undefined): boolean {
  switch (reason) {
    case RefusalReason.NOT_LEASEHOLDER:
    case RefusalReason.RANGE_NOT_FOUND:
    case RefusalReason.BUSY:
    case RefusalReason.STOPPING:
    case RefusalReason.NOT_BOOTSTRAPPED:
    case RefusalReason.UNKNOWN_OUTCOME:
    case RefusalReason.DEADLINE:
      return true;
    default:
      return false;
  }
}
