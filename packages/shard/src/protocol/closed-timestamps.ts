/** What stores and those who ask them agree on about closed timestamps without a word. */

/** How long ago the timestamps were that leaseholders close, unless a store is told otherwise. Unit: ms. */
export const closedTimestampLagMsDefault = 3000;
/** How often they do. Unit: ms. */
export const closedTimestampIntervalMs = 500;
/** Clocks are closer to each other than this. Unit: ms. */
const clocksApartMs = 250;

/**
 * How old a snapshot must be to be closed at every replica that keeps up: closed, said in the message after, heard before
 * the next one, by clocks that differ. Unit: ms.
 */
export function followerReadLagMs(
  closedTimestampLagMs: number = closedTimestampLagMsDefault,
): number {
  return closedTimestampLagMs + 2 * closedTimestampIntervalMs + clocksApartMs;
}
