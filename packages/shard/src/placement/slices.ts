/**
 * Long work in short turns of the event loop: what a store does for the whole cluster must not hold up what it does for its
 * clients. Who waits here must be prepared for a world that has changed meanwhile.
 */
import type { Clock } from '@flotilla/base';

/** Rows, or ranges, between two turns where each takes some microseconds, or 20 to be decoded first. */
export const itemsPerTurn = 256;

/** The rest of what is due now runs first. */
export function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.afterTurn(resolve));
}

/** Looks at each of them, a part per turn. */
export async function forEachInTurns<T>(
  clock: Clock,
  items: readonly T[],
  look: (item: T) => void,
): Promise<void> {
  for (let at = 0; at < items.length; at += itemsPerTurn) {
    if (at > 0) await nextTurn(clock);
    for (const item of items.slice(at, at + itemsPerTurn)) look(item);
  }
}

/** Takes a step per turn. @returns what it comes to */
export async function runInTurns<T>(clock: Clock, steps: Generator<void, T>): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    await nextTurn(clock);
  }
}
