/**
 * Reads of the past: snapshots of times that the reader chooses, from just now to longer ago than what is closed, asked of
 * whichever replica comes next. What they show is judged like every other snapshot, by the final history of each key.
 */
import { kvPrefix, type Prng, type Span } from '@flotilla/base';
import type { ClosingSwarm } from '../../swarm.ts';
import type { Session } from './session.ts';

/** Keys that are remembered from scans, to be asked for by name, whether they are still there or not. */
const knownMax = 64;

export class Past {
  private readonly closing: ClosingSwarm;
  private readonly known = new Map<string, Buffer>();

  constructor(closing: ClosingSwarm) {
    this.closing = closing;
  }

  /** How long ago. Unit: ms. */
  ago(prng: Prng): number {
    const { lagMs, intervalMs } = this.closing;
    return prng.nextFloat() * 2 * (lagMs + 2 * intervalMs + 10);
  }

  async step(session: Session): Promise<void> {
    const { prng } = session;
    session.statement();
    for (let reads = 1 + prng.nextBelow(3); reads > 0; reads--) {
      if (prng.nextBelow(2) === 0) await this.scan(session);
      else await this.get(session);
      await session.dawdle();
    }
  }

  private async get(session: Session): Promise<void> {
    const { prng } = session;
    const all = [...this.known.values()];
    const keys = all.filter(() => prng.nextBelow(4) === 0);
    if (keys.length > 0) await session.getMany(keys);
  }

  private async scan(session: Session): Promise<void> {
    const { prng } = session;
    const [one, other] = [prng.nextBelow(256), prng.nextBelow(256)];
    const span: Span =
      prng.nextBelow(3) === 0
        ? { startKey: at(0), endKey: Buffer.from([...kvPrefix, 255, 255]) }
        : { startKey: at(Math.min(one, other)), endKey: at(Math.max(one, other) + 1) };
    const entries = await session.scan(span, { reverse: prng.nextBelow(2) === 0 });
    for (const { key } of entries)
      if (this.known.size < knownMax) this.known.set(key.toString('latin1'), key);
  }
}

function at(byte: number): Buffer {
  return Buffer.from(byte > 255 ? [...kvPrefix, 255, 255] : [...kvPrefix, byte]);
}
