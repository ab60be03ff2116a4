/** Makes the driver with production's timings and limits where the caller chooses no others. */
import { defaultLimits, defaultTimings } from '../core/limits.ts';
import type { RaftLimits, RaftTimings } from '../core/raft-core.ts';
import { Driver } from './driver.ts';
import type { DriverOptions } from './driver-options.ts';
import { type DriverLimits, defaultDriverLimits } from './limits.ts';
import type { MultiRaft } from './multi-raft.ts';

export interface MultiRaftOptions
  extends Omit<DriverOptions, 'timings' | 'limits' | 'driverLimits'> {
  readonly timings?: Partial<RaftTimings>;
  readonly limits?: Partial<RaftLimits>;
  readonly driverLimits?: Partial<DriverLimits>;
}

/** The only way to a driver. Groups are added afterwards; the log must be open. */
export function createMultiRaft(options: MultiRaftOptions): MultiRaft {
  return new Driver({
    ...options,
    timings: { ...defaultTimings, ...options.timings },
    limits: { ...defaultLimits, ...options.limits },
    driverLimits: { ...defaultDriverLimits, ...options.driverLimits },
  });
}
