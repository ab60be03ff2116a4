/** Chance of which the last sixteen bytes are known: the id of the transaction that has just begun with them. */
import { type Prng, toHex } from '@flotilla/base';

const words = 4;

export class IdPrng implements Prng {
  private readonly inner: Prng;
  private readonly drawn: number[] = [];

  constructor(inner: Prng) {
    this.inner = inner;
  }

  /** In hex. */
  get lastId(): string {
    const id = Buffer.alloc(4 * words);
    for (const [i, word] of this.drawn.entries()) id.writeUInt32LE(word, 4 * i);
    return toHex(id);
  }

  nextUint32(): number {
    const word = this.inner.nextUint32();
    this.drawn.push(word);
    if (this.drawn.length > words) this.drawn.shift();
    return word;
  }

  nextFloat(): number {
    return this.inner.nextFloat();
  }

  nextBelow(bound: number): number {
    return this.inner.nextBelow(bound);
  }
}
