/** Which ranges hold these keys and spans: looked up where the cache does not know. Sends nothing to the ranges. */
import { compareBytes } from '@flotilla/base';
import type { Response } from '../client-link.ts';
import type { OperationOptions } from '../router-api.ts';
import { readCheckBytes } from './read-check.ts';
import {
  type Part,
  type SpreadCall,
  SpreadOperation,
  type SpreadParts,
} from './spread-operation.ts';
import type { Located, ReadCheck, WireRequest } from './transaction-api.ts';

interface LocatePart extends Part {
  /** undefined: a key. */
  readonly check: ReadCheck | undefined;
}

export class LocateOperation extends SpreadOperation<LocatePart, readonly Located[]> {
  private readonly found: {
    readonly rangeId: number;
    readonly startKey: Uint8Array;
    readonly keys: Uint8Array[];
    readonly readChecks: ReadCheck[];
  }[] = [];

  constructor(
    base: SpreadParts,
    keys: readonly Uint8Array[],
    checks: readonly ReadCheck[],
    options?: OperationOptions,
  ) {
    const parts: LocatePart[] = keys.map((startKey) => ({ startKey, check: undefined }));
    for (const check of checks)
      parts.push({ startKey: check.startKey, endKey: check.endKey, check });
    super(base, parts, readCheckBytes(checks), options);
  }

  override settles(call: SpreadCall<LocatePart, readonly Located[]>, rangeId: number): boolean {
    const [first] = call.parts;
    if (first === undefined) return true;
    let place = this.found.find((located) => located.rangeId === rangeId);
    if (place === undefined) {
      place = { rangeId, startKey: first.startKey, keys: [], readChecks: [] };
      this.found.push(place);
    }
    for (const { startKey, endKey, check } of call.parts)
      if (check === undefined) place.keys.push(startKey);
      else place.readChecks.push({ startKey, endKey, since: check.since });
    this.dispatcher.finish(call);
    this.calls.delete(call);
    if (this.isIdle) this.succeed(this.found.sort((a, b) => compareBytes(a.startKey, b.startKey)));
    return true;
  }

  override body(): WireRequest {
    return {};
  }

  override accepts(_response: Response): boolean {
    return false;
  }

  override onAnswer(): void {}
}
