/** The groups of a store: who is here, how one is made, what people may see of them. */
import { assert, NumberTable, type RangeId } from '@flotilla/base';
import { createRaftCore } from '../core/core.ts';
import type { DriverShell } from './driver-options.ts';
import { Group } from './group.ts';
import type { GroupOptions } from './multi-raft.ts';

export class Groups {
  private readonly shell: DriverShell;
  private readonly byRange = new Map<RangeId, Group>();
  /**
   * Until when this store holds the lease of each group, as the cores say: asked at every read, and apart from the cores
   * because those of many groups are in no cache.
   */
  private readonly leases = new NumberTable(Number.NEGATIVE_INFINITY);

  constructor(shell: DriverShell) {
    this.shell = shell;
  }

  get(rangeId: RangeId): Group | undefined {
    return this.byRange.get(rangeId);
  }
  all(): IterableIterator<Group> {
    return this.byRange.values();
  }

  delete(group: Group): void {
    this.byRange.delete(group.rangeId);
    this.leases.delete(group.rangeId);
  }

  /** Monotonic ms, exclusive; -Infinity: not leased here. */
  leasedUntil(rangeId: RangeId): number {
    return this.leases.get(rangeId);
  }

  /** Makes the replica as its log left it. Throws for a group that is here already. */
  add(options: GroupOptions): Group {
    const { rangeId } = options;
    const { wal, timings, limits, prng } = this.shell.options;
    assert(!this.byRange.has(rangeId), 'a group is added once', { range: rangeId });
    const log = wal.group(rangeId);
    const { appliedIndex } = options;
    const firstIndex = log.firstIndex();
    assert(appliedIndex >= firstIndex - 1, 'the log reaches back to what is applied', {
      range: rangeId,
      appliedIndex,
      firstIndex,
    });
    let group: Group | undefined;
    const core = createRaftCore(
      {
        rangeId,
        self: options.self,
        configuration: options.configuration,
        hardState: log.hardState(),
        storage: log,
        appliedIndex,
        now: this.shell.clock.nowMs(),
        freshGroup: options.freshGroup,
        campaigns: options.campaigns === true,
        // A group that has left may still be told of what it had begun; another may be in its place by then.
        onLease: (untilMs) => {
          if (group?.isRemoved !== true) this.leases.set(rangeId, untilMs);
        },
        timings,
        limits,
      },
      prng,
    );
    group = new Group(core, log, appliedIndex);
    this.byRange.set(rangeId, group);
    return group;
  }
}
