/** How much placement does at once: what stores can bear, whatever the number of ranges. */
import type { PlacementPaces } from './picture.ts';

/**
 * Of small ranges a store is sent more at once than it receives snapshots of large ones: bytes bound those. What bounds
 * these is the hand-overs and entries that each takes. Unit: bytes; moves.
 */
const receivingBytesMax = 64 * 1024 * 1024;
const receivingSmallMax = 32;
/** A hand-over stops the writes of its range for a moment and costs next to nothing else. */
const transfersDefault = 100;

/**
 * @param snapshotsMax what a store receives at once, whatever their size
 * @param transfersMax leases on their way to, or from, one store. Undefined: as many as usual
 */
export function pacesOf(
  snapshotsMax: number,
  transfersMax: number = transfersDefault,
): PlacementPaces {
  return {
    receivingMax: snapshotsMax,
    receivingBytesMax,
    receivingSmallMax: Math.max(receivingSmallMax, snapshotsMax),
    transfersMax,
  };
}
