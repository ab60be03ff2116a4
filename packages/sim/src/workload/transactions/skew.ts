/** Pairs of which at most one may be on: each transaction reads both and writes one, which snapshots alone do not stop. */
import { keyOf } from '../../cluster/ranges.ts';
import type { Session } from './session.ts';
import { violated, type Workload } from './workload.ts';

export class Skew implements Workload {
  private readonly pairs: readonly (readonly [Buffer, Buffer])[];

  constructor(count: number) {
    this.pairs = Array.from({ length: Math.ceil(count / 2) }, (_, n) => [
      keyOf('xs', 2 * n),
      keyOf('xs', 2 * n + 1),
    ]);
  }

  async setUp(session: Session): Promise<void> {
    for (const pair of this.pairs) for (const key of pair) session.put(key, 'off');
  }

  async step(session: Session): Promise<void> {
    const { prng } = session;
    const pair = this.pairs[prng.nextBelow(this.pairs.length)] ?? [];
    session.statement();
    const isOn = await this.read(session, pair);
    if (!session.isSerializable) return;
    await session.dawdle();
    if (isOn.includes(true)) session.put(pair[isOn.indexOf(true)] as Buffer, 'off');
    else session.put(pair[prng.nextBelow(2)] as Buffer, 'on');
  }

  async look(session: Session): Promise<void> {
    for (const pair of this.pairs) await this.read(session, pair);
  }

  private async read(session: Session, pair: readonly Buffer[]): Promise<readonly boolean[]> {
    const found =
      session.isSerializable && session.prng.nextBelow(2) === 0
        ? [await session.get(pair[0] as Buffer), await session.get(pair[1] as Buffer)]
        : await session.getMany(pair);
    const isOn = found.map((text) => text === 'on');
    if (isOn.every(Boolean)) throw violated(session, 'both of a pair are on');
    return isOn;
  }
}
