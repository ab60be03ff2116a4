/** What every workload of transactions is: a state that is set up, steps that keep it as it must be, and a look at it. */
import type { Prng } from '@flotilla/base';
import { SimFailure } from '../../failure.ts';
import type { Session } from './session.ts';

export interface Workload {
  /** Writes the state that there is at the beginning. */
  setUp(session: Session): Promise<void>;
  /** One transaction, but for its commit. Throws SimFailure if what it is shown cannot be. */
  step(session: Session): Promise<void>;
  /** Reads everything. Throws as `step`. */
  look(session: Session): Promise<void>;
  /** A transaction that `step` was called for has ended as its trace says. */
  ended?(session: Session): void;
}

/** @param what with the transaction that saw it */
export function violated(session: Session, what: string): SimFailure {
  return new SimFailure('isolation', `${session.trace}: ${what}`);
}

/** Some of the numbers below `count`, all different, in any order. */
export function someOf(prng: Prng, count: number, howMany: number): readonly number[] {
  const all = Array.from({ length: count }, (_, n) => n);
  for (let i = 0; i < howMany; i++) {
    const j = i + prng.nextBelow(count - i);
    const [a, b] = [all[i] ?? 0, all[j] ?? 0];
    all[i] = b;
    all[j] = a;
  }
  return all.slice(0, howMany);
}
