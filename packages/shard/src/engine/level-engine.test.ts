import { cpSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExitCode, FatalError } from '@flotilla/base';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { engineCases } from '../testing/engine-suite.ts';
import { openLevelEngine } from './level-engine.ts';

function temporary(): string {
  return mkdtempSync(join(tmpdir(), 'flotilla-level-'));
}

/** What unsynced log data may become after power loss: nothing. */
function withoutUnsyncedLogs(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  for (const name of readdirSync(to)) {
    if (name === 'LOCK') rmSync(join(to, name));
    if (name.endsWith('.log')) truncateSync(join(to, name), 0);
  }
}

describe('LevelDB', () => {
  it.each(engineCases)('$name', async ({ run }) => {
    const root = temporary();
    const engine = await openLevelEngine(join(root, 'live'));
    // The claim under test: `flush` puts everything into table files, so losing the whole log loses nothing of it.
    const afterPowerLoss = (): ReturnType<typeof openLevelEngine> => {
      withoutUnsyncedLogs(join(root, 'live'), join(root, 'copy'));
      return openLevelEngine(join(root, 'copy'));
    };
    try {
      await run({ engine, afterPowerLoss });
    } finally {
      await engine.close();
      rmSync(root, { recursive: true, force: true });
    }
  });
});

describe('LevelDB only', () => {
  let root: string;
  beforeEach(() => {
    root = temporary();
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const row = { type: 'put', key: Buffer.from('k'), value: Buffer.from('v') } as const;

  async function exitCodeOf(promise: Promise<unknown>): Promise<unknown> {
    const error = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(FatalError);
    return (error as FatalError).exitCode;
  }

  it('without flush the log is all there is: the power loss of these tests does lose data', async () => {
    const engine = await openLevelEngine(join(root, 'live'));
    await engine.write([row]);
    withoutUnsyncedLogs(join(root, 'live'), join(root, 'copy'));
    const copy = await openLevelEngine(join(root, 'copy'));
    expect(copy.get(row.key)).toBeUndefined();
    await copy.close();
    await engine.close();
  });

  it('says when another handle holds the directory', async () => {
    const engine = await openLevelEngine(root);
    expect(await exitCodeOf(openLevelEngine(root))).toBe(ExitCode.locked);
    await engine.close();
  });

  it('says when a table or the manifest is missing', async () => {
    const engine = await openLevelEngine(root);
    await engine.write([row]);
    await engine.flush();
    await engine.close();
    const table = readdirSync(root).find((name) => name.endsWith('.ldb'));
    expect(table).toBeDefined();
    rmSync(join(root, table ?? ''));
    expect(await exitCodeOf(openLevelEngine(root))).toBe(ExitCode.engineCorrupt);
  });

  it('says when the directory cannot be one', async () => {
    writeFileSync(join(root, 'file'), 'x');
    expect(await exitCodeOf(openLevelEngine(join(root, 'file')))).toBe(ExitCode.diskFailed);
  });
});
