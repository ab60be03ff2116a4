/** CPU and memory of whole process trees, from /proc: a server's children count as the server. Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks per second of /proc/<pid>/stat: USER_HZ, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

export interface Usage {
  /** User and system time, ended children included. Unit: s. */
  readonly cpuSeconds: number;
  /** Resident now. Unit: bytes. */
  readonly residentBytes: number;
}

interface Stat {
  readonly parent: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Usage of each root with all that descends from it, in the order of `roots`. A process that is gone counts nothing. */
export function usageOf(roots: readonly number[]): readonly Usage[] {
  const stats = new Map<number, Stat>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = statOf(pid);
    if (stat !== undefined) stats.set(pid, stat);
  }
  const totals = new Map(roots.map((root) => [root, { cpuSeconds: 0, residentBytes: 0 }]));
  for (const [pid, stat] of stats) {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = stats.get(at)?.parent) {
      const total = totals.get(at);
      if (total === undefined) continue;
      total.cpuSeconds += stat.cpuSeconds;
      total.residentBytes += stat.residentBytes;
      break;
    }
  }
  return roots.map((root) => totals.get(root) ?? { cpuSeconds: 0, residentBytes: 0 });
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

/** See proc(5). The program's name is in parentheses and may hold anything. */
function statOf(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined; // it has ended
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    parent: field(4),
    cpuSeconds: (field(14) + field(15) + field(16) + field(17)) / ticksPerSecond,
    residentBytes: field(24) * 4096,
  };
}
