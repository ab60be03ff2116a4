/** The groups of a store: who is here, how one is made, what people may see of them. */
import { assert, type RangeId } from '@flotilla/base';
import { createRaftCore } from '../core/core.ts';
import type { DriverShell } from './driver-options.ts';
import { Group } from './group.ts';
import type { GroupOptions } from './multi-raft.ts';

export class Groups {
  private readonly shell: DriverShell;
  private readonly byRange = new Map<RangeId, Group>();

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
        timings,
        limits,
      },
      prng,
    );
    const group = new Group(core, log, appliedIndex);
    this.byRange.set(rangeId, group);
    return group;
  }
}
