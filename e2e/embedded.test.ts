/** The embedded database in programs of its own: they end by themselves, and what they acknowledged survives `kill -9`. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { connect } from '@flotilla/client';
import { describe, expect, it } from 'vitest';
import { sleep } from './harness/eventually.ts';

/** Of an operation that says nothing else. Unit: ms. */
const deadlineMs = 10_000;
const built = fileURLToPath(new URL('../packages/client/dist/index.js', import.meta.url));
const head = `import { connect } from ${JSON.stringify(pathToFileURL(built).href)};\n`;

function run(program: string) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', `${head}${program}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  return { child, ended, lines: createInterface({ input: child.stdout }) };
}

describe('a program with an embedded database', () => {
  it('ends by itself once the database is closed', async () => {
    const { ended } = run(`
      const db = await connect({ embedded: true });
      await db.sql\`CREATE TABLE boats (id int PRIMARY KEY)\`;
      await db.sql\`INSERT INTO boats VALUES (1)\`;
      await db.close();
    `);
    expect(await ended).toEqual({ code: 0, signal: null });
  });

  it('misses no deadline when it was stopped, as by a debugger', async () => {
    const { child, ended, lines } = run(`
      const db = await connect({ embedded: true });
      for (let n = 1; n <= 300; n++) {
        await db.kv.put('n', String(n));
        console.log(n);
      }
      await db.close();
    `);
    let last = 0;
    for await (const line of lines) {
      last = Number(line);
      if (last !== 100) continue;
      child.kill('SIGSTOP');
      await sleep(deadlineMs + 1000);
      child.kill('SIGCONT');
    }
    expect([await ended, last]).toEqual([{ code: 0, signal: null }, 300]);
  });

  it('keeps what was acknowledged when it is killed, and its directory opens again', async () => {
    const path = await mkdtemp(join(tmpdir(), 'flotilla-embedded-'));
    try {
      let acknowledged = 0;
      for (let life = 1; life <= 3; life++) {
        const { child, ended, lines } = run(`
          const db = await connect({ embedded: true, path: ${JSON.stringify(path)} });
          await db.sql\`CREATE TABLE IF NOT EXISTS boats (id int PRIMARY KEY)\`;
          for (let id = ${acknowledged + 1}; ; id++) {
            await db.sql\`INSERT INTO boats VALUES (\${id}) ON CONFLICT DO NOTHING\`;
            console.log(id);
          }
        `);
        const enough = acknowledged + 100;
        for await (const line of lines) {
          acknowledged = Number(line);
          if (acknowledged === enough) child.kill('SIGKILL');
        }
        expect(await ended).toEqual({ code: null, signal: 'SIGKILL' });
      }
      const db = await connect({ embedded: true, path });
      const { rows } = await db.sql<{ id: number }>`SELECT id FROM boats ORDER BY id`;
      await db.close();
      // The last insert may have been made without having been heard of.
      expect(rows.slice(0, acknowledged).map(({ id }) => id)).toEqual(
        Array.from({ length: acknowledged }, (_, i) => i + 1),
      );
      expect(rows.length - acknowledged).toBeLessThanOrEqual(1);
    } finally {
      await rm(path, { recursive: true });
    }
  });
});
