/**
 * A lock on a directory that ends with its holder, without native code. Every contender appends one line that names
 * its process to `<directory>/PROCESS`; the first line whose process still lives holds the lock. Appends are ordered by
 * the kernel, so two contenders can never both be first. The file grows by one short line per start.
 */
import { randomBytes } from 'node:crypto';
import { promises as fs } from 'node:fs';
import path from 'node:path';
import type { DirectoryLock } from './disk.ts';

/** Nonces of this process's lines that hold a lock or contend for one. */
const heldHere = new Set<string>();

export async function lockDirectory(directory: string): Promise<DirectoryLock | undefined> {
  const file = path.join(directory, 'PROCESS');
  const boot = await bootId();
  const nonce = randomBytes(8).toString('hex');
  const start = (await startTime(process.pid)) ?? '-';
  const release = async (): Promise<void> => {
    if (heldHere.delete(nonce)) await fs.appendFile(file, `\nreleased ${nonce}\n`);
  };
  heldHere.add(nonce);
  try {
    // A line feed on both sides: a line torn by a crash must not swallow this one.
    await fs.appendFile(file, `\n${process.pid} ${start} ${boot} ${nonce}\n`);
    const lines = (await fs.readFile(file, 'latin1')).split('\n').map((line) => line.split(' '));
    const released = new Set(lines.filter(([word]) => word === 'released').map(([, of]) => of));
    for (const [pid = '', itsStart = '', itsBoot = '', itsNonce = ''] of lines) {
      if (itsNonce === nonce) return { release };
      if (!/^[0-9]+$/.test(pid) || itsNonce.length !== nonce.length) continue;
      if (released.has(itsNonce) || itsBoot !== boot) continue;
      if (await lives(Number(pid), itsStart, itsNonce)) break;
    }
  } catch (error) {
    heldHere.delete(nonce);
    throw error;
  }
  await release();
  return undefined;
}

async function lives(pid: number, start: string, nonce: string): Promise<boolean> {
  if (pid === process.pid && start === ((await startTime(pid)) ?? '-')) return heldHere.has(nonce);
  try {
    process.kill(pid, 0);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ESRCH') return false; // EPERM: it lives and belongs to someone else
  }
  const stat = await readStat(pid);
  if (stat === undefined) return true; // not Linux: the pid alone decides
  // A zombie has ended and holds nothing; where nobody collects it, it stays in the list for ever.
  return stat.state !== 'Z' && stat.state !== 'X' && (start === '-' || stat.start === start);
}

/** Start of the process in clock ticks since boot: tells a process from a later one under the same pid. */
async function startTime(pid: number): Promise<string | undefined> {
  return (await readStat(pid))?.start;
}

async function readStat(
  pid: number,
): Promise<{ readonly state: string; readonly start: string } | undefined> {
  try {
    const stat = await fs.readFile(`/proc/${pid}/stat`, 'latin1');
    // Fields 3 and 22; the command in field 2 may contain anything, so count from its closing parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', start: fields[19] ?? '' };
  } catch {
    return undefined; // gone, or not Linux
  }
}

async function bootId(): Promise<string> {
  try {
    return (await fs.readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
  } catch {
    return '-'; // not Linux: the pid alone decides
  }
}
