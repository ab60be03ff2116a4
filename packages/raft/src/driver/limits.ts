/** The numbers that bound the driver of a store, with their units and reasons. */

const mib = 1024 * 1024;

export interface DriverLimits {
  /** Messages of peers that wait for the next turn; more are dropped, as a network would. Cruel: 1. */
  readonly inboxMessagesMax: number;
  /** Data bytes of committed entries per call of `StateMachine.apply`: bounds the pause of a batch. Cruel: 1. */
  readonly applyBatchBytesMax: number;
  /** A sync that takes longer than this ends the process: its peers do better without it. Cruel: E. */
  readonly diskStallMsMax: number;
}

export const defaultDriverLimits: DriverLimits = {
  inboxMessagesMax: 65_536,
  applyBatchBytesMax: 4 * mib,
  diskStallMsMax: 20_000,
};
