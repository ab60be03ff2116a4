import { spawn } from 'node:child_process';
import { appendFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeDisk } from './node-disk.ts';
import { diskCases } from './testing/disk-suite.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'flotilla-disk-'));
});
afterEach(() => rm(directory, { recursive: true }));

describe('NodeDisk conforms', () => {
  for (const { title, run } of diskCases) it(title, () => run(new NodeDisk(), directory));
});

describe('NodeDisk lock', () => {
  it('is held by another living process and free once that process is killed', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      await new Promise((resolve) => child.once('spawn', resolve));
      const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
      const stat = await readFile(`/proc/${child.pid}/stat`, 'latin1');
      const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
      const line = `\n${child.pid} ${start} ${boot} 0123456789abcdef\n`;
      await appendFile(path.join(directory, 'PROCESS'), line);
      expect(await new NodeDisk().lock(directory)).toBeUndefined();
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
      expect(await new NodeDisk().lock(directory)).toBeDefined();
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('is not held by a pid that was reused, an earlier boot, or a torn line', async () => {
    const lines = [
      `${process.pid} 1 someotherboot 0123456789abcdef`,
      `${process.ppid} 1 - 0123456789abcdef`,
      `${process.pid} 12`,
    ];
    await appendFile(path.join(directory, 'PROCESS'), lines.join('\n'));
    const lock = await new NodeDisk().lock(directory);
    expect(lock).toBeDefined();
    await lock?.release();
  });

  it('refuses a directory that does not exist', async () => {
    await expect(new NodeDisk().lock(path.join(directory, 'none'))).rejects.toThrow(/ENOENT/);
    await mkdir(path.join(directory, 'none'));
    expect(await new NodeDisk().lock(path.join(directory, 'none'))).toBeDefined();
  });
});
