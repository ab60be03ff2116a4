/**
 * What a read must not pass by: intents and writes on their way that may become versions of its time. Looked for in the
 * leaseholder's memory, in the turn in which the values are taken.
 */
import type { Span } from '@flotilla/base';
import { type Answer, busyRefusal } from '../replica/answers.ts';
import { blockedBy, type Leaseholder } from '../replica/leaseholder.ts';
import { type Intent, nameOf } from '../state/transaction-rows.ts';

/** Announced intents that a scan makes versions when it meets the first of them. */
const resolvedPerScan = 1000;

/** Something of its time is on its way to this key. */
export interface Waits {
  readonly kind: 'waits';
  readonly key: Uint8Array;
  /** What the client hears if it stays there. */
  readonly giveUp: Answer;
}

/** What is about to become a version of the key at or below `upTo`. */
export function obstacleOn(
  leaseholder: Leaseholder,
  key: Uint8Array,
  transaction: string,
  upTo: number,
): Waits | undefined {
  const { memory, context } = leaseholder;
  const name = nameOf(key);
  if (memory.hasIntents) {
    const intent = memory.unsettledIntent(name, transaction, upTo);
    if (intent !== undefined) return { kind: 'waits', key, giveUp: blockedBy(intent) };
  }
  const { overlay } = leaseholder.view();
  if (overlay.size === 0) return undefined;
  // The newest may be above the snapshot, and one that it does not show yet below.
  const first = overlay.firstUnderWay(name);
  if (first === undefined || first > upTo) return undefined;
  return {
    kind: 'waits',
    key,
    giveUp: busyRefusal(context.limits, 'a write of the key is under way'),
  };
}

/** As `obstacleOn`, for the keys of a span: the first intent, and the writes under way. */
export function obstaclesIn(
  leaseholder: Leaseholder,
  span: Span,
  of: { readonly transaction: string; readonly upTo: number; readonly reverse: boolean },
): readonly Waits[] {
  const found: Waits[] = [];
  const announced: Intent[] = [];
  const { memory, context } = leaseholder;
  for (const intent of memory.unsettledIntents(span, of)) {
    if (found.length === 0)
      found.push({ kind: 'waits', key: intent.key, giveUp: blockedBy(intent) });
    if (!memory.isAnnounced(intent) || announced.push(intent) === resolvedPerScan) break;
  }
  // The first one is waited for: the others go with it, rather than one after the other.
  if (announced.length > 1) for (const { key } of announced) leaseholder.resolveIfAnnounced(key);
  const { overlay } = leaseholder.view();
  if (overlay.size === 0) return found;
  const giveUp = busyRefusal(context.limits, 'a write in the span is under way');
  for (const { key } of overlay.within(span))
    if ((overlay.firstUnderWay(nameOf(key)) ?? Infinity) <= of.upTo)
      found.push({ kind: 'waits', key, giveUp });
  return found;
}

/** An intent on the key that is as good as its newest version. Not a deletion, which leaves no version to show. */
export function announcedOn(
  leaseholder: Leaseholder,
  key: Uint8Array,
  transaction: string,
): Intent | undefined {
  const { memory } = leaseholder;
  const name = nameOf(key);
  const intent = memory.unsettledIntent(name, transaction, Infinity);
  if (intent === undefined || intent.isDelete || !memory.isAnnounced(intent)) return undefined;
  // On its way to be that version, perhaps; a later write is not.
  const underWay = leaseholder.view().overlay.get(name);
  return underWay === undefined || underWay.timestamp === intent.timestamp ? intent : undefined;
}
