/**
 * What a write may carry along in place of a value: a program, opaque here as those of reads are, that makes the new version
 * of a key of its newest one. The leaseholder runs it where it evaluates the write, over what is proposed and not applied yet,
 * so that any number of them follow each other within one round of consensus. What goes into the log is the value.
 */
import type { ReadPrograms } from './read-programs.ts';

export type ComputedValue =
  | { readonly kind: 'put'; readonly value: Uint8Array }
  | { readonly kind: 'delete' };

export interface RowPrograms {
  /**
   * Undefined: it makes nothing of this value, or is no program that is known here; whoever sent it finds out by itself
   * why. Synchronous and short. Never throws.
   */
  compute(program: Uint8Array, key: Uint8Array, value: Uint8Array): ComputedValue | undefined;
}

/** All that a store runs for those who ask it. */
export interface StorePrograms extends ReadPrograms, RowPrograms {}
