/** The final history of every key: which version was there when. Gathered from replicas that agree; pure afterwards. */
import { inspectStore, versionsOf } from '@flotilla/shard/testing';
import type { StoreMachine } from '../../cluster/store-machine.ts';
import { keyText } from '../../workload/transactions/trace.ts';

export interface Version {
  readonly timestamp: number;
  /** Exclusive end; Infinity: it is the newest. */
  readonly supersededAt: number;
  readonly value: string;
}

export class VersionHistory {
  private readonly byKey = new Map<string, Version[]>();

  add(key: string, version: Version): void {
    const versions = this.byKey.get(key);
    if (versions === undefined) this.byKey.set(key, [version]);
    else versions.push(version);
  }

  get keys(): Iterable<string> {
    return this.byKey.keys();
  }

  /** In no order. */
  of(key: string): readonly Version[] {
    return this.byKey.get(key) ?? [];
  }

  at(key: string, timestamp: number): Version | undefined {
    return this.of(key).find(
      (version) => version.timestamp <= timestamp && timestamp < version.supersededAt,
    );
  }

  /** What was there until a version of that very timestamp came; or at it, if none did. */
  before(key: string, timestamp: number): Version | undefined {
    return this.of(key).find(
      (version) => version.timestamp < timestamp && timestamp <= version.supersededAt,
    );
  }

  /** A write of the key, deletions included, carries that timestamp. */
  isWrittenAt(key: string, timestamp: number): boolean {
    return this.of(key).some(
      (version) => version.timestamp === timestamp || version.supersededAt === timestamp,
    );
  }
}

/** Call when all replicas of a range have the same state. */
export function gatherVersions(machines: readonly StoreMachine[]): VersionHistory {
  const history = new VersionHistory();
  const seen = new Set<number>();
  for (const { store, engine } of machines) {
    if (store === undefined) continue;
    for (const { rangeId } of inspectStore(store)) {
      if (seen.has(rangeId)) continue;
      seen.add(rangeId);
      for (const { key, timestamp, supersededAt, value } of versionsOf(store, engine, rangeId))
        history.add(keyText(key), {
          timestamp,
          supersededAt: supersededAt || Number.POSITIVE_INFINITY,
          value: value.toString(),
        });
    }
  }
  return history;
}
