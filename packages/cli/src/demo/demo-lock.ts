/** One `bin/demo` at a time changes a data directory: a lock file that names its holder; a dead holder's is taken. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../usage-error.ts';
import { isAlive, startTimeOf } from './process-identity.ts';

/** Runs `work` while holding the lock. @throws UsageError after `waitMs` if another demo command still holds it */
export async function withDemoLock<T>(
  data: string,
  waitMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const file = join(data, 'demo.lock');
  mkdirSync(data, { recursive: true });
  const deadline = performance.now() + waitMs;
  while (!take(file)) {
    if (performance.now() > deadline) {
      throw new UsageError(`another demo command is at work on ${data} (${file}); try again later`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    return await work();
  } finally {
    rmSync(file, { force: true });
  }
}

function take(file: string): boolean {
  try {
    const self = { pid: process.pid, startTime: startTimeOf(process.pid) };
    writeFileSync(file, JSON.stringify(self), { flag: 'wx' });
    return true;
  } catch {
    if (!holderIsAlive(file)) rmSync(file, { force: true });
    return false;
  }
}

function holderIsAlive(file: string): boolean {
  try {
    const holder: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof holder !== 'object' || holder === null) return false;
    if (!('pid' in holder && 'startTime' in holder)) return false;
    return isAlive({ pid: Number(holder.pid), startTime: String(holder.startTime) });
  } catch {
    return false;
  }
}
