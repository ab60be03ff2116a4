/** Chance for loads: cheap, and the same for every system under the same seed. */

/** xorshift32. @returns numbers in [0, 1) */
export function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}
