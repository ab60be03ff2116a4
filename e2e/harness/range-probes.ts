/**
 * One write at a time to every range, again a few milliseconds after each answer: what a client sees of a failover, range
 * by range. Writes straight through a router, as the SDK does, to keys that belong to nobody.
 */
import { concatBytes, DbError } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { sleep } from './eventually.ts';

const everyMs = 5;

class RangeProbe {
  readonly rangeId: number;
  /** `performance.now()` of every acknowledgement, ascending. */
  readonly acknowledgedAt: number[] = [];
  readonly failures: Map<string, number> = new Map();
  private readonly key: Uint8Array;
  private stopping = false;
  private readonly ended: Promise<void>;

  constructor(router: Router, rangeId: number, startKey: Uint8Array) {
    this.rangeId = rangeId;
    // Above the rows of any table that a test makes: no table has an id of all ones.
    this.key = concatBytes(startKey, Buffer.from([0xff, 0xff, 0xff, 0xff, rangeId & 0xff]));
    this.ended = this.run(router);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.ended;
  }

  /** The longest time without an acknowledgement that ended after `from` and began before `until`. Unit: ms. */
  gapMs(from: number, until: number): number {
    let longest = 0;
    let before = from;
    for (const at of this.acknowledgedAt) {
      if (at <= from) {
        before = at;
        continue;
      }
      if (before >= until) break;
      longest = Math.max(longest, at - before);
      before = at;
    }
    return before < until ? Math.max(longest, until - before) : longest;
  }

  private async run(router: Router): Promise<void> {
    for (let n = 0; !this.stopping; n++) {
      const mutation = { kind: 'put', key: this.key, value: Buffer.from(String(n)) } as const;
      try {
        await router.write(
          { conditions: [], mutations: [mutation], deleteSpans: [] },
          { timeoutMs: 10_000 },
        );
        this.acknowledgedAt.push(performance.now());
      } catch (error) {
        if (!(error instanceof DbError)) throw error;
        this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
      }
      await sleep(everyMs);
    }
  }
}

export class RangeProbes {
  readonly probes: readonly RangeProbe[];

  constructor(
    router: Router,
    ranges: readonly { readonly rangeId: number; readonly startKey: Uint8Array }[],
  ) {
    this.probes = ranges.map(({ rangeId, startKey }) => new RangeProbe(router, rangeId, startKey));
  }

  /** Every probed range has acknowledged something after `since`. */
  allSince(since: number): boolean {
    return this.probes.every(({ acknowledgedAt }) => (acknowledgedAt.at(-1) ?? 0) > since);
  }

  get acknowledged(): number {
    return this.probes.reduce((sum, { acknowledgedAt }) => sum + acknowledgedAt.length, 0);
  }

  /** Codes of failed writes, with how often each came. */
  failures(): Map<string, number> {
    const all = new Map<string, number>();
    for (const { failures } of this.probes)
      for (const [code, count] of failures) all.set(code, (all.get(code) ?? 0) + count);
    return all;
  }

  async stop(): Promise<void> {
    await Promise.all(this.probes.map((probe) => probe.stop()));
  }
}
