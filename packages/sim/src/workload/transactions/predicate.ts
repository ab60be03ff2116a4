/**
 * A span in which there may be so many rows and no more: each transaction counts them by a scan and inserts one, or
 * deletes one, or has one take another's place. Two that counted the same would both insert where scans are not checked for rows that were not there.
 */
import { kvPrefix, type Span } from '@flotilla/base';
import type { Session } from './session.ts';
import { violated, type Workload } from './workload.ts';

const rowsMax = 3;
const places = 10;
const kind = 'xp';

export class Predicate implements Workload {
  private readonly span: Span;
  private readonly keys: readonly Buffer[];

  /** @param ranges that the space was founded with: the span lies over the end of one, if there are several */
  constructor(ranges: number) {
    const end = ranges > 2 ? Math.floor(256 / (ranges - 1)) : 128;
    this.span = { startKey: at(end - 1), endKey: at(end + 1) };
    this.keys = Array.from({ length: places }, (_, n) =>
      Buffer.concat([at(end - (n % 2)), Buffer.from(`${kind}${n}`)]),
    );
  }

  async setUp(): Promise<void> {}

  async step(session: Session): Promise<void> {
    const { prng } = session;
    session.statement();
    const found = await this.count(session);
    if (!session.isSerializable) return;
    await session.dawdle();
    const victim = found[prng.nextBelow(Math.max(1, found.length))];
    const isFull = found.length === rowsMax;
    const dice = prng.nextBelow(4);
    if (victim !== undefined && (isFull || dice < 2)) session.delete(victim);
    if (victim !== undefined && (isFull ? dice === 0 : dice === 1)) return;
    // In place of the one that goes, mostly in another range, or one more.
    const free = this.keys.filter((key) => !found.some((each) => each.equals(key)));
    const key = free[prng.nextBelow(free.length)] as Buffer;
    if (prng.nextBelow(2) === 0) session.put(key, 'row');
    else session.insert(key, 'row');
  }

  async look(session: Session): Promise<void> {
    await this.count(session);
  }

  private async count(session: Session): Promise<readonly Buffer[]> {
    const reverse = session.prng.nextBelow(2) === 0;
    const entries = await session.scan(this.span, { reverse });
    // Other workloads may have keys there too.
    const rows = entries.map(({ key }) => key).filter((key) => key.includes(kind));
    if (rows.length > rowsMax)
      throw violated(session, `${rows.length} rows where ${rowsMax} may be`);
    return rows;
  }
}

function at(byte: number): Buffer {
  return Buffer.from([...kvPrefix, byte]);
}
