import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Log } from './log.ts';

it('tells in order what is in the file, and syncs what came meanwhile at once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'floor-'));
  try {
    const path = join(directory, 'log');
    const log = await Log.open(path);
    const told: number[] = [];
    await new Promise<void>((resolve) => {
      for (let i = 0; i < 10; i++)
        log.append(Buffer.of(i), () => {
          told.push(i);
          if (i === 9) resolve();
        });
    });
    await log.close();
    expect(told).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([...(await readFile(path))]).toEqual(told);
    expect(log.syncs).toBe(2);
  } finally {
    await rm(directory, { recursive: true });
  }
});
