/**
 * What people want of spans of the key space: how often they are replicated, when they are cut, which zone
 * leads them. Rows among the cluster's own, in the first range; a key is under every span that holds it, and
 * the narrower span wins, field by field. Codec and rules for both ends; whoever obeys them is not here.
 *
 *   01 'c' u16 ‖ startKey ‖ endKey     RangeConfiguration; u16 is the length of the startKey
 */
import {
  asBuffer,
  clusterPrefix,
  compareBytes,
  concatBytes,
  keyBytesMax,
  prefixSpan,
  rootEndKey,
  type Span,
  spanContainsSpan,
  systemSpan,
} from '@flotilla/base';
import { flotilla } from '../../gen/kv.js';
import { replicationFactor } from '../initial-ranges.ts';

/** Of a span; what is undefined is as a wider span, or the cluster, has it. */
export interface RangeWishes {
  /** Voters of each range: 1, 3, 5 or 7. */
  readonly replicas?: number | undefined;
  /** A range with more is cut. */
  readonly splitBytes?: number | undefined;
  /** The zone whose stores lead its ranges while they can. */
  readonly leasePreference?: string | undefined;
}

export interface RangeConfiguration extends Span, RangeWishes {}

/** `null`: as a wider span has it. Undefined: as it is. */
export type RangeConfigurationChange = {
  readonly [Name in keyof RangeWishes]?: RangeWishes[Name] | null;
};

export const splitBytesLeast: number = 64 * 1024;
const zonePattern = /^[\x21-\x7e]{1,128}$/;

const prefix = concatBytes(clusterPrefix, Buffer.from('c'));
export const configurationSpan: Span = prefixSpan(prefix);

export function configurationKey({ startKey, endKey }: Span): Uint8Array {
  const length = Uint8Array.of(startKey.length >> 8, startKey.length & 0xff);
  return concatBytes(prefix, length, startKey, endKey);
}

export function encodeConfigurationRow({
  startKey,
  endKey,
  ...wishes
}: RangeConfiguration): Uint8Array {
  const { replicas = 0, splitBytes = 0, leasePreference = '' } = wishes;
  const row = { startKey, endKey, replicas, splitBytes, leasePreference };
  return flotilla.kv.RangeConfiguration.encode(row).finish();
}

/** Undefined: not one, or not one that can be obeyed. */
export function decodeConfigurationRow(bytes: Uint8Array): RangeConfiguration | undefined {
  try {
    const row = flotilla.kv.RangeConfiguration.decode(asBuffer(bytes));
    const configuration = {
      startKey: Uint8Array.from(row.startKey ?? []),
      endKey: Uint8Array.from(row.endKey ?? []),
      replicas: row.replicas || undefined,
      splitBytes: row.splitBytes || undefined,
      leasePreference: row.leasePreference || undefined,
    };
    return configurationFault(configuration) === undefined ? configuration : undefined;
  } catch {
    return undefined; // Whoever may write to the key space may write anything there.
  }
}

/** Why it cannot be obeyed. */
export function configurationFault(configuration: RangeConfiguration): string | undefined {
  const { startKey, endKey, replicas, splitBytes, leasePreference } = configuration;
  if (startKey.length > keyBytesMax / 3 || endKey.length > keyBytesMax / 3)
    return 'the bounds of the span are too long';
  if (compareBytes(startKey, endKey) >= 0) return 'the span is empty';
  if (replicas !== undefined && ![1, 3, 5, 7].includes(replicas))
    return 'a range has 1, 3, 5 or 7 replicas';
  if (
    splitBytes !== undefined &&
    !(Number.isSafeInteger(splitBytes) && splitBytes >= splitBytesLeast)
  )
    return `a range is cut at ${splitBytesLeast} bytes or more`;
  if (leasePreference !== undefined && !zonePattern.test(leasePreference))
    return 'a zone is a name of 1 to 128 printable characters';
  return undefined;
}

/** @returns undefined: nothing is left of it */
export function changedConfiguration(
  before: RangeConfiguration,
  change: RangeConfigurationChange,
): RangeConfiguration | undefined {
  const of = <T>(now: T | undefined, wanted: T | null | undefined): T | undefined =>
    wanted === undefined ? now : (wanted ?? undefined);
  const { startKey, endKey } = before;
  const replicas = of(before.replicas, change.replicas);
  const splitBytes = of(before.splitBytes, change.splitBytes);
  const leasePreference = of(before.leasePreference, change.leasePreference);
  if ((replicas ?? splitBytes ?? leasePreference) === undefined) return undefined;
  return { startKey, endKey, replicas, splitBytes, leasePreference };
}

/**
 * All configurations of a cluster, as they were read once: the key space in pieces, in each of which one thing is wanted.
 * Made in O(n log n) where spans do not overlap by the dozen; asked in O(log n), by every range again and again.
 */
export class RangeConfigurations {
  readonly all: readonly RangeConfiguration[];
  /** Where a span begins or ends, ascending. */
  private readonly boundaries: readonly Uint8Array[];
  /** What is wanted from each boundary up to the next. */
  private readonly wishes: readonly RangeWishes[];

  constructor(configurations: readonly RangeConfiguration[]) {
    this.all = configurations;
    // Wider before narrower.
    const sorted = [...ofSystem(configurations), ...configurations].sort(
      (a, b) => compareBytes(a.startKey, b.startKey) || compareBytes(b.endKey, a.endKey),
    );
    this.boundaries = sorted
      .flatMap(({ startKey, endKey }) => [startKey, endKey])
      .sort(compareBytes)
      .filter((key, i, keys) => i === 0 || compareBytes(key, keys[i - 1] ?? key) !== 0);
    let here: RangeConfiguration[] = [];
    let next = 0;
    this.wishes = this.boundaries.map((key) => {
      here = here.filter(({ endKey }) => compareBytes(key, endKey) < 0);
      for (; next < sorted.length; next++) {
        const each = sorted[next];
        if (each === undefined || compareBytes(each.startKey, key) > 0) break;
        here.push(each);
      }
      return together(here);
    });
  }

  /** What is wanted at a key. */
  at(key: Uint8Array): RangeWishes {
    return this.wishes[countBelow(this.boundaries, key, true) - 1] ?? nothing;
  }

  /**
   * The middle one of the keys inside the span at which something else may be wanted: a range has one configuration, and
   * who cuts it there again and again has cut everywhere after few steps one after the other.
   */
  boundaryIn(span: Span): Uint8Array | undefined {
    const { boundaries } = this;
    // A range that begins at one need not be cut there; the root of the meta index stays in one range.
    const first = Math.max(
      countBelow(boundaries, span.startKey, true),
      countBelow(boundaries, rootEndKey, false),
    );
    const end = countBelow(boundaries, span.endKey, false);
    return first < end ? boundaries[(first + end) >> 1] : undefined;
  }
}

const nothing: RangeWishes = {};

/**
 * What the cluster keeps of itself has as many replicas as anything else, unless its own span, or a narrower one, says
 * otherwise: nothing is found without it.
 */
function ofSystem(configurations: readonly RangeConfiguration[]): RangeConfiguration[] {
  const replicas = configurations.reduce((most, one) => Math.max(most, one.replicas ?? 0), 0);
  const around = configurations
    .filter((one) => spanContainsSpan(one, systemSpan))
    .sort((a, b) => (spanContainsSpan(a, b) ? -1 : 1));
  const anyway = together(around).replicas ?? replicationFactor;
  return replicas > anyway ? [{ ...systemSpan, replicas }] : [];
}

/** @param spans wider before narrower */
function together(spans: readonly RangeConfiguration[]): RangeWishes {
  let found: RangeWishes = nothing;
  for (const each of spans)
    found = {
      replicas: each.replicas ?? found.replicas,
      splitBytes: each.splitBytes ?? found.splitBytes,
      leasePreference: each.leasePreference ?? found.leasePreference,
    };
  return found;
}

/** How many of the keys, which ascend, are below `key`, or the same if `orSame`. */
function countBelow(keys: readonly Uint8Array[], key: Uint8Array, orSame: boolean): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const order = compareBytes(keys[middle] ?? key, key);
    if (order < 0 || (orSame && order === 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const noConfigurations: RangeConfigurations = new RangeConfigurations([]);
