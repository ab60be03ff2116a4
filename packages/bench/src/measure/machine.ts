/** The machine that a run takes place on, and how much of it others had meanwhile. Linux only. */
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';

/** Clock ticks per second of /proc/stat: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

export interface MachineFacts {
  readonly processors: number;
  readonly model: string;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
}

export function machineFacts(): MachineFacts {
  const all = cpus();
  return {
    processors: all.length,
    model: all[0]?.model ?? 'unknown',
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** Time of all processors together since they began. Unit: s. */
export interface ProcessorTimes {
  /** Somebody on this machine computed. */
  readonly busySeconds: number;
  readonly idleSeconds: number;
  /** Somebody on this machine wanted to, and the hypervisor had the processor do something else. */
  readonly stolenSeconds: number;
}

export function processorTimes(): ProcessorTimes {
  return processorTimesOf(readFileSync('/proc/stat', 'latin1'));
}

/** @param stat text of /proc/stat; see proc(5) */
export function processorTimesOf(stat: string): ProcessorTimes {
  const [name, ...fields] = stat.split('\n', 1)[0]?.split(/\s+/) ?? [];
  const at = (index: number): number => Number(fields[index] ?? Number.NaN) / ticksPerSecond;
  const times = {
    busySeconds: at(0) + at(1) + at(2) + at(5) + at(6),
    idleSeconds: at(3) + at(4),
    stolenSeconds: at(7),
  };
  if (name !== 'cpu' || Object.values(times).some(Number.isNaN))
    throw new Error(`/proc/stat begins with "${stat.slice(0, 80)}"`);
  return times;
}

/** Of the time that somebody here wanted a processor, the share that the hypervisor kept. In [0, 1]. */
export function stolenShare(before: ProcessorTimes, after: ProcessorTimes): number {
  const stolen = after.stolenSeconds - before.stolenSeconds;
  const wanted = after.busySeconds - before.busySeconds + stolen;
  return wanted > 0 ? stolen / wanted : 0;
}

/** Of all time of all processors, the share that programs used that are none of ours. In [0, 1]. */
export function othersShare(
  before: ProcessorTimes,
  after: ProcessorTimes,
  ownCpuSeconds: number,
): number {
  const busy = after.busySeconds - before.busySeconds;
  const stolen = after.stolenSeconds - before.stolenSeconds;
  const all = busy + stolen + after.idleSeconds - before.idleSeconds;
  return all > 0 ? Math.max(0, busy - ownCpuSeconds) / all : 0;
}
