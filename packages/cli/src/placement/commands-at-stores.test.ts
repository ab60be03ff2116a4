/** `range configure`, `range split` and `events` against stores on virtual time: what they say is so, and the stores do it. */
import { kvPrefix, SeededPrng, systemSpan, toStoreId } from '@flotilla/base';
import { createRouter, type Router } from '@flotilla/router';
import { initialRanges } from '@flotilla/shard';
import { StoreCluster } from '@flotilla/shard/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { splitAt } from '../range-command.ts';
import { UsageError } from '../usage-error.ts';
import { showEvents } from './events-command.ts';
import { type ConfigureWishes, configure } from './range-configure.ts';

let cluster: StoreCluster;
let router: Router;
let strangers = 0;

function connect(): Router {
  const name = `command-${++strangers}`;
  const { network, clock } = cluster;
  return createRouter({ transport: network.connect(name), clock, prng: new SeededPrng(9, 9) });
}

async function start(stores: number): Promise<void> {
  cluster = new StoreCluster({
    ...{ seed: 9, stores, placement: { reportEveryMs: 400, deadAfterMs: 20_000 } },
    ranges: initialRanges([1, 2, 3].map(toStoreId), 4),
  });
  await cluster.start();
  router = connect();
}

afterEach(async () => {
  await router.close();
  expect(cluster.fatal).toEqual([]);
  await cluster.stopAll();
});

function listening() {
  const lines: string[] = [];
  const out = (text: string): void => void lines.push(text.replace(/\n$/, ''));
  return { lines, output: { out, err: () => {} } };
}

/** What the command prints. */
async function said(wishes: ConfigureWishes): Promise<string> {
  const { lines, output } = listening();
  await cluster.until(configure(router, { ...wishes, timeoutMs: 10_000 }, output));
  return lines.map((line) => `${line}\n`).join('');
}

/** As somebody sees it who has cached nothing. */
async function rangeAt(key: Uint8Array) {
  const stranger = connect();
  const { descriptor } = await cluster.until(stranger.lookup(key, { timeoutMs: 20_000 }));
  await stranger.close();
  return descriptor;
}

async function votersBecome(key: Uint8Array, wanted: number): Promise<void> {
  const voters = async () =>
    ((await rangeAt(key))?.replicas ?? []).filter(({ role }) => !role).length;
  for (let i = 0; i < 60 && (await voters()) !== wanted; i++) await cluster.run(1000);
  expect(await voters()).toBe(wanted);
}

/** The index of ranges hears of a cut a moment later. */
async function startBecomes(hex: string): Promise<void> {
  const start = async () => {
    const range = await rangeAt(Buffer.from(hex, 'hex'));
    return Buffer.from(range?.startKey ?? []).toString('hex');
  };
  for (let i = 0; i < 60 && (await start()) !== hex; i++) await cluster.run(1000);
  expect(await start()).toBe(hex);
}

describe('range configure', () => {
  beforeEach(() => start(5));

  it('gives everything a default, which the stores obey, and shows and takes it back', async () => {
    expect(await said({})).toBe('Nothing is wanted of any span: all are as by default.\n');
    expect(await said({ default: true, replicas: '5' })).toMatch(/^default .*: 5 replicas\.\n$/);
    await votersBecome(systemSpan.startKey, 5);
    await votersBecome(kvPrefix, 5);
    expect(await said({ system: true, replicas: '3' })).toMatch(/^system .*: 3 replicas\.\n$/);
    await votersBecome(systemSpan.startKey, 3);
    expect((await said({})).split('\n')).toHaveLength(3);
    await said({ system: true, replicas: 'default' });
    expect(await said({ default: true, replicas: 'default' })).toMatch(/: as by default\.\n$/);
    await votersBecome(kvPrefix, 3);
  });

  it('cuts ranges at the bounds of a span that is wanted otherwise', async () => {
    expect(await said({ start: '0840', splitBytes: '1MiB' })).toMatch(/: cut above 1048576 bytes/);
    await startBecomes('0840');
    await startBecomes('0841');
  });

  it('says what is wrong with a wish', async () => {
    for (const wrong of [
      { replicas: '5' },
      { system: true, default: true, replicas: '5' },
      { system: true, start: '08', replicas: '5' },
      { end: '09', replicas: '5' },
      { start: 'xyz', replicas: '5' },
      { start: '08', replicas: 'many' },
    ])
      await expect(said(wrong)).rejects.toThrow(UsageError);
    await expect(said({ start: '08', replicas: '4' })).rejects.toThrow(/1, 3, 5 or 7/);
    expect(await said({})).toMatch(/^Nothing/);
  });
});

describe('events', () => {
  beforeEach(() => start(3));

  it('are shown page by page, from the newest back', async () => {
    for (const replicas of ['1', '3', '1', '3']) {
      await said({ start: '0840', replicas });
      await cluster.run(3000);
    }
    const shown = async (before?: number): Promise<string[]> => {
      const { lines, output } = listening();
      const page = { limit: 2, json: false, timeoutMs: 10_000 };
      const request = before === undefined ? page : { ...page, before };
      await cluster.until(showEvents(router, request, output));
      return lines;
    };
    const [, second, more = ''] = await shown();
    expect(second).toMatch(/Z {2}\S+ +.+\.$/);
    const before = Number(/^Older ones: --before (\d+)$/.exec(more)?.[1]);
    expect(before).toBeGreaterThan(2);
    const older = await shown(before);
    expect(older).toHaveLength(before > 3 ? 3 : 2);
    expect(older).not.toContain(second);
    expect(await shown(1)).toEqual(['Nothing has happened yet.']);
  });
});

describe('range split', () => {
  beforeEach(() => start(3));

  it('cuts where it is told to, once', async () => {
    const at = (request: { key?: string; at?: string }) =>
      cluster.until(splitAt(router, { key: request.key, at: request.at, timeoutMs: 10_000 }));
    const text = await at({ key: 'm' });
    expect(text).toMatch(/^r\d+ begins at /);
    await startBecomes('086d');
    const range = await rangeAt(Uint8Array.of(0x08, 0x6d));
    expect(text).toContain(`r${range?.rangeId} `);
    expect(await at({ at: '086d' })).toBe(text);
    await expect(at({ key: 'm', at: '086d' })).rejects.toThrow(UsageError);
    await expect(at({ at: '8' })).rejects.toThrow(UsageError);
  });
});
