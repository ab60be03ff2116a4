/** CPU and memory of whole process trees, from /proc: a server's children count as the server. Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks per second of /proc/<pid>/stat: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

export interface Usage {
  /** User and system time, ended children included. Unit: s. */
  readonly cpuSeconds: number;
  /** Resident now; memory that the processes of a tree share counts once. Unit: bytes. */
  readonly residentBytes: number;
}

interface Stat {
  readonly parent: number;
  readonly state: string;
  readonly cpuSeconds: number;
  readonly endedChildrenCpuSeconds: number;
  readonly residentBytes: number;
}

/** Usage of each root with all that descends from it, in the order of `roots`. A process that is gone counts nothing. */
export function usageOf(roots: readonly number[]): readonly Usage[] {
  const stats = statsOfAll();
  const totals = new Map(
    roots.map((root) => [root, { cpuSeconds: 0, ownBytes: 0, sharedBytes: 0 }]),
  );
  for (const [pid, stat] of stats) {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = stats.get(at)?.parent) {
      const total = totals.get(at);
      if (total === undefined) continue;
      const shared = sharedBytesOf(pid);
      total.cpuSeconds += stat.cpuSeconds;
      total.ownBytes += stat.residentBytes - shared;
      // Each process has touched some of the same pages: whoever has touched most comes nearest to its size.
      total.sharedBytes = Math.max(total.sharedBytes, shared);
      break;
    }
  }
  return roots.map((root) => {
    const { cpuSeconds = 0, ownBytes = 0, sharedBytes = 0 } = totals.get(root) ?? {};
    return { cpuSeconds, residentBytes: ownBytes + sharedBytes };
  });
}

/** The roots and all that descend from them. */
export function treesOf(roots: readonly number[]): readonly number[] {
  const stats = statsOfAll();
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = stats.get(at)?.parent)
      if (roots.includes(at)) return true;
    return false;
  };
  return [...stats.keys()].filter(isBelow);
}

export function sumOf(usages: readonly Usage[]): Usage {
  return usages.reduce(
    (sum, usage) => ({
      cpuSeconds: sum.cpuSeconds + usage.cpuSeconds,
      residentBytes: sum.residentBytes + usage.residentBytes,
    }),
    { cpuSeconds: 0, residentBytes: 0 },
  );
}

/** Processor time of this process's children that have ended, and of theirs. Unit: s. */
export function childrenCpuSeconds(): number {
  return statOf(process.pid)?.endedChildrenCpuSeconds ?? 0;
}

/** False also for one that has ended and whose parent has not asked how. */
export function runsAsProcess(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.state !== 'Z';
}

function statsOfAll(): Map<number, Stat> {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = statOf(pid);
    if (stat !== undefined) stats.set(pid, stat);
  }
  return stats;
}

/** See proc(5). The program's name is in parentheses and may hold anything. */
function statOf(pid: number): Stat | undefined {
  const text = readProc(`${pid}/stat`);
  if (text === undefined) return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    parent: field(4),
    state: fields[0] ?? '',
    cpuSeconds: (field(14) + field(15) + field(16) + field(17)) / ticksPerSecond,
    endedChildrenCpuSeconds: (field(16) + field(17)) / ticksPerSecond,
    residentBytes: field(24) * 4096,
  };
}

/** Resident memory that several processes may share: segments, as PostgreSQL's buffers, and mapped files, as programs. */
function sharedBytesOf(pid: number): number {
  const lines = (readProc(`${pid}/status`) ?? '').matchAll(/^Rss(?:Shmem|File):\s+(\d+) kB$/gm);
  return [...lines].reduce((sum, [, kib]) => sum + Number(kib) * 1024, 0);
}

/** @returns undefined if the process has ended */
function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, 'latin1');
  } catch {
    return undefined;
  }
}
