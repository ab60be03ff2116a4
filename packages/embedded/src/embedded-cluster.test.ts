import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DbError, FatalError } from '@flotilla/base';
import { createRouter, type Router } from '@flotilla/router';
import { afterEach, describe, expect, it } from 'vitest';
import { type EmbeddedCluster, type EmbeddedOptions, openEmbeddedCluster } from './index.ts';

const key = Buffer.from('\x08a');
const undo: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function open(
  options: EmbeddedOptions = {},
): Promise<{ cluster: EmbeddedCluster; router: Router }> {
  const cluster = await openEmbeddedCluster(options);
  const router = createRouter(cluster);
  undo.push(
    () => cluster.close(),
    () => router.close(),
  );
  return { cluster, router };
}

async function put(router: Router, value: string): Promise<void> {
  const mutation = { kind: 'put', key, value: Buffer.from(value) } as const;
  await router.write({ conditions: [], mutations: [mutation], deleteSpans: [] });
}

async function read(router: Router): Promise<string | undefined> {
  const [found] = await router.get([key]);
  return found === undefined ? undefined : Buffer.from(found.value).toString();
}

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'flotilla-embedded-'));
  undo.push(() => rm(directory, { recursive: true }));
  return directory;
}

describe('an embedded cluster', () => {
  it('in memory: serves at once, apart from others, and is gone when closed', async () => {
    const [one, other] = await Promise.all([open(), open()]);
    await put(one.router, 'x');
    expect(await read(one.router)).toBe('x');
    expect(await read(other.router)).toBeUndefined();
    await one.router.close();
    await one.cluster.close();
    await one.cluster.close();
    expect(await read((await open()).router)).toBeUndefined();
  });

  it('in a directory: keeps what was written, for one process at a time', async () => {
    const path = join(await newDirectory(), 'deep', 'data');
    const first = await open({ path });
    await put(first.router, 'kept');
    await expect(openEmbeddedCluster({ path })).rejects.toBeInstanceOf(FatalError);
    await first.router.close();
    await first.cluster.close();
    expect(await readdir(path)).toContain('wal');
    expect(await read((await open({ path })).router)).toBe('kept');
  });

  it('keeps the process alive while it is open, and leaves nothing that would when closed', async () => {
    const alive = (): number =>
      process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    const before = alive();
    const { cluster, router } = await open();
    const opened = alive();
    await router.close();
    await cluster.close();
    // The test runner has timers too, which may end meanwhile.
    expect(alive()).toBeLessThan(opened);
    expect(alive()).toBeLessThanOrEqual(before);
  });

  it('refuses an empty path, and leaves nothing behind when it fails', async () => {
    const before = process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    await expect(openEmbeddedCluster({ path: '' })).rejects.toBeInstanceOf(DbError);
    const after = process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    expect(after).toBe(before);
  });
});
