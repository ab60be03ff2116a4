/** The numbers that bound the driver of a store, with their units and reasons. */

const mib = 1024 * 1024;

export interface DriverLimits {
  /** Bytes of messages of one peer store that wait for the next turn; more are dropped, as a network would. Cruel: 1. */
  readonly inboxBytesPerStoreMax: number;
  /** Bytes of entries, over all groups, that wait for the disk or the state machine. Above it new work is refused. */
  readonly waitingBytesMax: number;
  /** How late the event loop may be, 99 of 100 times in a window, before new work is refused; half of it ends that. */
  readonly loopDelayMsMax: number;
  readonly loopWindowMs: number;
  /** A loop that stood for longer is logged and counted: half of E is where followers begin to wonder. */
  readonly loopStallMsMax: number;
  /** Data bytes of committed entries per call of `StateMachine.apply`: bounds the pause of a batch. Cruel: 1. */
  readonly applyBatchBytesMax: number;
  /**
   * Bytes of a group's log that are kept for a member that lags or is away. Beyond it the log is compacted up to what is
   * flushed, and the member gets a snapshot. Cruel: 0.
   */
  readonly retainedLogBytesMax: number;
  /**
   * Bytes of the store's log on disk within which a group keeps that for members that are away, and more for those that are
   * catching up: as much as its state. Beyond it the longest logs are let go: they keep nothing for who is away, and twice
   * `retainedLogBytesMax` for the others. Cruel: 0.
   */
  readonly heldLogBytesMax: number;
  /** Changes of who leads what per store-level heartbeat: about 10 bytes each. More go in several. Cruel: 1. */
  readonly storeChangesPerMessageMax: number;
  /** Groups that store liveness hands to one turn, so that the loss of a store with 10,000 does not stop the loop. Cruel: 1. */
  readonly reviewsPerTurnMax: number;
  /** Groups that may tick per turn: a store with many groups campaigns in waves. Cruel: 1. */
  readonly ticksPerTurnMax: number;
  /** A sync that takes longer than this ends the process: its peers do better without it. Cruel: E. */
  readonly diskStallMsMax: number;
}

export const defaultDriverLimits: DriverLimits = {
  inboxBytesPerStoreMax: 16 * mib,
  waitingBytesMax: 64 * mib,
  loopDelayMsMax: 50,
  loopWindowMs: 1000,
  loopStallMsMax: 500,
  applyBatchBytesMax: 4 * mib,
  retainedLogBytesMax: 16 * mib,
  // As much as the four snapshots that a store sends at once, of ranges of 512 MiB.
  heldLogBytesMax: 2048 * mib,
  storeChangesPerMessageMax: 1024,
  reviewsPerTurnMax: 256,
  ticksPerTurnMax: 256,
  diskStallMsMax: 20_000,
};
