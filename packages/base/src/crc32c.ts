/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the CPU's own instruction where there is one. */
import { crc32c as nativeCrc32c } from '@node-rs/crc32';

/** @param seed the CRC of what came before, to chain; 0 at the start */
export function crc32c(bytes: Uint8Array, seed: number = 0): number {
  return nativeCrc32c(bytes as Buffer, seed);
}
