/**
 * What clients saw of single keys, as a register that is read, written, deleted and written on condition of a timestamp.
 * Conditions name timestamps; the history knows which value has which, and says so if two values share one.
 */
import type { Operation } from '@flotilla/client/testing';
import { SimFailure } from '../failure.ts';

/** undefined: the key is absent. */
export type Value = string | undefined;

export type KeyInput =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: Value }
  | { readonly kind: 'cas'; readonly expected: Value; readonly value: Value };

export type KeyOutput =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'written' }
  | {
      readonly kind: 'cas';
      readonly applied: boolean;
      /** What was there instead, by timestamp. */
      readonly foundTimestamp: number;
    };

export interface KeyOperation extends Operation<KeyInput, KeyOutput> {}

export class KeyHistory {
  readonly operations: KeyOperation[] = [];
  private readonly valueAt = new Map<number, Value>([[0, undefined]]);
  private readonly timestampOf = new Map<string, number>();

  add(operation: KeyOperation): void {
    this.operations.push(operation);
  }

  /** Somebody saw this value with this timestamp. */
  learn(key: string, timestamp: number, value: string): void {
    const known = this.valueAt.get(timestamp);
    const before = this.timestampOf.get(value);
    if ((known !== undefined && known !== value) || (before !== undefined && before !== timestamp))
      throw new SimFailure(
        'linearizability',
        `${key}: ${value} has timestamp ${timestamp}; before, ${known ?? value} had ${before ?? timestamp}`,
      );
    this.valueAt.set(timestamp, value);
    this.timestampOf.set(value, timestamp);
  }

  /** The value that had the timestamp, if anybody saw both. */
  known(timestamp: number): { readonly value: Value } | undefined {
    return this.valueAt.has(timestamp) ? { value: this.valueAt.get(timestamp) } : undefined;
  }
}
