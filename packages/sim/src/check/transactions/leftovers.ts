/**
 * What transactions leave behind: nothing, some time after the last of them: no intent, no transaction that nobody has
 * decided, no lock. Stores finish those of dead coordinators by themselves.
 */
import { transactionsAt } from '@flotilla/shard/testing';
import type { StoreMachine } from '../../cluster/store-machine.ts';

/** Undefined: nothing is left. */
export function leftovers(machines: readonly StoreMachine[]): string | undefined {
  for (const { store, isDamaged } of machines) {
    if (store === undefined || isDamaged) continue;
    for (const { rangeId, intents, unfinished, locks } of transactionsAt(store)) {
      if (intents.length > 0) return `r${rangeId}: intent on ${intents[0]}`;
      if (unfinished.length > 0) return `r${rangeId}: ${unfinished[0]}`;
      if (locks > 0) return `r${rangeId}: ${locks} keys are locked`;
    }
  }
  return undefined;
}
