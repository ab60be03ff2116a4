/** What processes and directories use, from /proc and the file system. Linux only. A process that is gone uses nothing. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** USER_HZ: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;
const pageBytes = 4096;
const kibibyte = 1024;

export interface ProcessUsage {
  /** User and system time so far. Unit: ms. */
  readonly cpuMs: number;
  readonly residentBytes: number;
  /**
   * Of these, what is its own and no view of a file. LevelDB maps its tables: their pages are the system's cache, shared and
   * taken back when somebody needs memory, and there are as many as were read lately.
   */
  readonly ownBytes: number;
  /** Open sockets, pipes, timers and other things that are no files. */
  readonly handles: number;
}

export async function usageOf(pid: number): Promise<ProcessUsage | undefined> {
  try {
    const [text, status, handles] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'latin1'),
      readFile(`/proc/${pid}/status`, 'latin1'),
      handlesOf(pid),
    ]);
    // The program's name is in parentheses and may hold anything; see proc(5).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const field = (number: number): number => Number(fields[number - 3]);
    return {
      cpuMs: ((field(14) + field(15)) * 1000) / ticksPerSecond,
      residentBytes: field(24) * pageBytes,
      ownBytes: (kibibytesIn(status, 'RssAnon') + kibibytesIn(status, 'RssShmem')) * kibibyte,
      handles,
    };
  } catch {
    return undefined;
  }
}

function kibibytesIn(status: string, name: string): number {
  return Number(status.match(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm'))?.[1] ?? Number.NaN);
}

export async function cpuMsOf(pids: Iterable<number>): Promise<number> {
  const usages = await Promise.all([...pids].map((pid) => usageOf(pid)));
  return usages.reduce((sum, usage) => sum + (usage?.cpuMs ?? 0), 0);
}

async function handlesOf(pid: number): Promise<number> {
  const directory = `/proc/${pid}/fd`;
  const targets = (await readdir(directory)).map((fd) =>
    readlink(join(directory, fd)).catch(() => '/closed meanwhile'),
  );
  return (await Promise.all(targets)).filter((target) => !target.startsWith('/')).length;
}

export interface DirectoryUsage {
  readonly bytes: number;
  readonly files: number;
  /** Files of LevelDB's tables: their number goes with the data. */
  readonly tables: number;
}

/** Of all that is below it. Files that vanish while it looks count for nothing. */
export async function directoryUsage(directory: string): Promise<DirectoryUsage> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  let [bytes, files, tables] = [0, 0, 0];
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      const below = await directoryUsage(path);
      bytes += below.bytes;
      files += below.files;
      tables += below.tables;
    } else {
      bytes += await stat(path).then(
        ({ size }) => size,
        () => 0,
      );
      files++;
      if (entry.name.endsWith('.ldb')) tables++;
    }
  }
  return { bytes, files, tables };
}

/** The p-th percentile, 0..100, by rank; NaN of nothing. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? Number.NaN;
}
