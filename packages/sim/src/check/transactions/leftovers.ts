/**
 * What transactions leave behind: nothing, some time after the last of them, and after everything has been read once: no
 * intent, no transaction that nobody has decided, no lock. Those of dead coordinators go when somebody meets them, or when
 * their time is over.
 */
import { transactionsAt } from '@flotilla/shard/testing';
import type { StoreMachine } from '../../cluster/store-machine.ts';

/** Undefined: nothing is left. */
export function leftovers(machines: readonly StoreMachine[]): string | undefined {
  for (const { store, isDamaged } of machines) {
    if (store === undefined || isDamaged) continue;
    for (const { rangeId, intents, staging, locks } of transactionsAt(store)) {
      if (intents.length > 0) return `r${rangeId}: intent on ${intents[0]}`;
      if (staging > 0) return `r${rangeId}: ${staging} transactions are not decided`;
      if (locks > 0) return `r${rangeId}: ${locks} keys are locked`;
    }
  }
  return undefined;
}
