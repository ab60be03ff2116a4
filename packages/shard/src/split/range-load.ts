/**
 * How much each range is asked, and for which keys: a count and a few samples per range and window. Fed with every request
 * by the request server, and with what scans read (`request-work.ts` says what each weighs), so it costs an addition in a table, and nothing else of the range is looked at but once in a while;
 * read by the split triggers and, for placement, by the watch.
 */
import {
  compareBytes,
  homeOfClient,
  NumberTable,
  type Prng,
  type Span,
  spanContains,
} from '@flotilla/base';

interface Load {
  /** Keys of this window's requests, chosen evenly. */
  samples: Uint8Array[];
  /** Of the same requests: the stores in whose processes their clients live; 0: none. */
  homes: number[];
  /** Of the last two windows that are over. Unit: requests of one key per second. */
  rate: number;
  rateBefore: number;
  /** Of the last two windows that are over. */
  sampled: readonly Uint8Array[];
  sampledBefore: readonly Uint8Array[];
  sampledHomes: readonly number[];
}

const samplesMax = 32;
/** A key divides the load if each side has at least this part of the samples. */
const leastShare = 0.25;
/** A store's process asks for a range if it makes at least this part of the samples, of at least so many. */
const askerShare = 0.75;
const askerSamplesLeast = 8;

export class RangeLoad {
  private readonly prng: Prng;
  /** Requests of this window, by weight. */
  private readonly requests = new NumberTable(0);
  private readonly ranges = new Map<number, Load>();
  private turn = 0;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  /**
   * Something was asked of the range.
   * @param key any that is read or written; copied if it is kept
   * @param weight in requests of one key
   */
  note(rangeId: number, key: Uint8Array | undefined, clientId: string, weight: number = 1): void {
    const before = this.requests.get(rangeId);
    this.requests.set(rangeId, before + weight);
    // One in sixteen: a range that is to be cut has thousands in a window, and those of a thousand calm ranges are not copied.
    const sample = Math.floor((before + weight) / 16);
    if (before !== 0 && Math.floor(before / 16) === sample) return;
    let load = this.ranges.get(rangeId);
    if (load === undefined) {
      load = newLoad();
      this.ranges.set(rangeId, load);
    }
    if (key === undefined || key.length === 0) return;
    const { samples, homes } = load;
    const at = samples.length < samplesMax ? samples.length : this.prng.nextBelow(sample + 1);
    if (at >= samplesMax) return;
    samples[at] = new Uint8Array(key);
    homes[at] = homeOfClient(clientId);
  }

  /** One of `count` places: over many calls all come about as often, in no step with what calls. */
  place(count: number): number {
    // Multiples of the golden section, modulo one.
    this.turn = (this.turn + 0x9e37_79b1) >>> 0;
    return Math.floor((this.turn / 2 ** 32) * count);
  }

  endWindow(lengthMs: number): void {
    for (const [rangeId, load] of this.ranges) {
      const requests = this.requests.get(rangeId);
      if (requests === 0 && load.rate === 0) {
        this.ranges.delete(rangeId);
        continue;
      }
      load.rateBefore = load.rate;
      load.rate = (requests * 1000) / lengthMs;
      load.sampledBefore = load.sampled;
      load.sampled = load.samples;
      load.samples = [];
      load.sampledHomes = load.homes;
      load.homes = [];
    }
    this.requests.clear();
  }

  /** What the range was asked in the last window. Unit: requests/s. */
  rate(rangeId: number): number {
    return this.ranges.get(rangeId)?.rate ?? 0;
  }

  /** What the range was asked in each of the last two windows at least. Unit: requests/s. */
  steadyRate(rangeId: number): number {
    const load = this.ranges.get(rangeId);
    return load === undefined ? 0 : Math.min(load.rate, load.rateBefore);
  }

  /** The store whose process made most of the last window's requests, by far. 0: there is none. */
  asker(rangeId: number): number {
    const homes = this.ranges.get(rangeId)?.sampledHomes ?? [];
    if (homes.length < askerSamplesLeast) return 0;
    const counts = new Map<number, number>();
    for (const home of homes) counts.set(home, (counts.get(home) ?? 0) + 1);
    for (const [home, count] of counts) if (count >= homes.length * askerShare) return home;
    return 0;
  }

  /**
   * A key such that both sides of it are asked about as much, and were in the window before: where new keys are always greater
   * than all others, what is right of any key is soon as hot as the whole was. Undefined: there is none, or one key, or
   * hardly more, is all they want.
   */
  dividingKey(range: Span & { readonly rangeId: number }): Uint8Array | undefined {
    const { sampled = [], sampledBefore = [] } = this.ranges.get(range.rangeId) ?? {};
    const sorted = sampled.filter((key) => spanContains(range, key)).sort(compareBytes);
    const before = sampledBefore.filter((key) => spanContains(range, key)).sort(compareBytes);
    let best: { readonly key: Uint8Array; readonly off: number } | undefined;
    for (const key of sorted) {
      if (compareBytes(key, range.startKey) === 0) continue;
      const off = unevenness(sorted, key);
      if (off === undefined || unevenness(before, key) === undefined) continue;
      if (best === undefined || off < best.off) best = { key, off };
    }
    return best?.key;
  }
}

/** By how much more one side of `key` has of the samples than half. Undefined: the other has too few. */
function unevenness(sorted: readonly Uint8Array[], key: Uint8Array): number | undefined {
  const count = sorted.length;
  const left = sorted.filter((each) => compareBytes(each, key) < 0).length;
  const least = Math.max(1, Math.ceil(count * leastShare));
  return left < least || count - left < least ? undefined : Math.abs(left - count / 2);
}

function newLoad(): Load {
  return {
    ...{ samples: [], homes: [], rate: 0, rateBefore: 0 },
    ...{ sampled: [], sampledBefore: [], sampledHomes: [] },
  };
}
