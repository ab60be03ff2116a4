/** Chance, as an argument. `SeededPrng` replays; `osPrng` seeds one from the operating system. */
import { randomBytes } from 'node:crypto';
import { assert } from './assert.ts';

export interface Prng {
  /** Uniform integer in [0, 2^32). */
  nextUint32(): number;
  /** Uniform in [0, 1). */
  nextFloat(): number;
  /** Uniform integer in [0, bound). `bound` in [1, 2^32]. */
  nextBelow(bound: number): number;
}

/** sfc32 (Chris Doty-Humphrey's PractRand): small, fast, passes BigCrush; not for secrets. */
export class SeededPrng implements Prng {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number, stream: number = 0) {
    assert(Number.isSafeInteger(seed), 'seed is a safe integer', { seed });
    this.a = seed | 0;
    this.b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.c = stream | 0;
    for (let i = 0; i < 16; i++) this.nextUint32();
  }

  nextUint32(): number {
    const result = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + result;
    this.c |= 0;
    return result >>> 0;
  }

  nextFloat(): number {
    return this.nextUint32() / 0x1_0000_0000;
  }

  nextBelow(bound: number): number {
    assert(bound >= 1 && bound <= 0x1_0000_0000, 'bound is in [1, 2^32]', { bound });
    return Math.floor(this.nextFloat() * bound);
  }
}

/** A generator seeded by the operating system. For jitter and ids in product code. */
export function osPrng(): Prng {
  const seed = randomBytes(12);
  return new SeededPrng(seed.readUIntBE(0, 6), seed.readInt32BE(6));
}
