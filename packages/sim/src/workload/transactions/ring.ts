/** Keys that name each other in a ring. A transaction swaps two neighbours, which writes three of them. */
import { keyOf } from '../../cluster/ranges.ts';
import type { Session } from './session.ts';
import { violated, type Workload } from './workload.ts';

export class Ring implements Workload {
  private readonly keys: readonly Buffer[];

  /** @param count at least 3 */
  constructor(count: number) {
    this.keys = Array.from({ length: count }, (_, n) => keyOf('xr', n));
  }

  async setUp(session: Session): Promise<void> {
    for (const [n, key] of this.keys.entries()) session.put(key, `${(n + 1) % this.keys.length}`);
  }

  async step(session: Session): Promise<void> {
    const { prng } = session;
    session.statement();
    if (prng.nextBelow(3) === 0) return this.look(session);
    const first = prng.nextBelow(this.keys.length);
    const options = session.isSerializable ? session.mayLock() : { lock: 'exclusive' as const };
    const follow = async (n: number): Promise<number> =>
      this.numberOf(session, await session.get(this.keyOf(n), options));
    // first → second → third → fourth becomes first → third → second → fourth.
    const second = await follow(first);
    const third = await follow(second);
    await session.dawdle();
    const fourth = await follow(third);
    session.put(this.keyOf(first), `${third}`);
    session.put(this.keyOf(third), `${second}`);
    session.put(this.keyOf(second), `${fourth}`);
  }

  async look(session: Session): Promise<void> {
    const found = await session.getMany(this.keys);
    const next = found.map((text) => this.numberOf(session, text));
    const seen = new Set<number>();
    for (let at = 0; !seen.has(at); at = next[at] ?? 0) seen.add(at);
    if (seen.size !== this.keys.length) throw violated(session, `the ring is ${next}`);
  }

  private keyOf(n: number): Buffer {
    return this.keys[n] as Buffer;
  }

  private numberOf(session: Session, text: string | undefined): number {
    const n = text === undefined ? Number.NaN : Number(text);
    if (n >= 0 && n < this.keys.length) return n;
    throw violated(session, `a member of the ring names ${text}`);
  }
}
