/**
 * Runs every example, each a program that checks itself and ends, and compares what the documents show with them: a block
 * after `<!-- file#region -->` is that region, as it stands there.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { osPrng, SystemClock, toStoreId, VolatileDisk } from '@flotilla/base';
import { bootstrapCluster, connectNats } from '@flotilla/router';
import { TestNatsServer } from '@flotilla/router/testing';
import { initialRanges, openStore, VolatileEngine } from '@flotilla/shard';
import { describe, expect, it } from 'vitest';

const folder = dirname(fileURLToPath(import.meta.url));
const root = join(folder, '../../..');
const examples = readdirSync(folder).filter((name) => !name.endsWith('.test.ts'));
const documents = ['README.md', 'docs/sdk.md', 'packages/client/README.md'];

/** One store over a nats-server that wants a password: what `cluster.ts` connects to. */
async function withCluster(work: (servers: string) => Promise<void>): Promise<void> {
  const server = await TestNatsServer.start({ args: ['--user', 'ann', '--pass', 'secret'] });
  const clock = new SystemClock();
  const prng = osPrng();
  const network = { servers: [server.url], cluster: 'demo', user: 'ann', password: 'secret' };
  const transport = await connectNats({ ...network, name: 'store' });
  const storeId = toStoreId(1);
  const failures: Error[] = [];
  const store = await openStore({
    ...{ storeId, transport, clock, prng, directory: 'data', machine: 'm1', version: 'test' },
    disk: new VolatileDisk(),
    openEngine: async () => new VolatileEngine(),
    onFatal: (error) => failures.push(error),
  });
  try {
    await bootstrapCluster({
      ...{ transport, clock, prng, storeIds: [storeId], expectedStores: 1 },
      ranges: (storeIds) => initialRanges(storeIds),
      timeoutMs: 60_000,
    });
    await work(server.url);
    expect(failures).toEqual([]);
  } finally {
    await store.stop({ timeoutMs: 1000 });
    await transport.close();
    await server.stop();
  }
}

describe('examples', () => {
  const alone = examples.filter((name) => name !== 'cluster.ts');
  it.each(alone)('%s runs', async (name) => {
    await import(join(folder, name));
  });

  it('cluster.ts runs', async () => {
    await withCluster(async (servers) => {
      process.env.FLOTILLA_NATS = servers;
      await import(join(folder, 'cluster.ts'));
    });
  });
});

describe('documents', () => {
  const shown = documents.flatMap((document) =>
    [
      ...readFileSync(join(root, document), 'utf8').matchAll(
        /<!-- (packages\/examples\/src\/[\w-]+\.ts)#(\w+) -->\n```ts\n(.*?)```/gs,
      ),
    ].map(([, file = '', region = '', text = '']) => ({ document, file, region, text })),
  );

  it.each(shown)('$document shows $file#$region as it is', ({ file, region, text }) => {
    const source = readFileSync(join(root, file), 'utf8');
    const [, rest = ''] = source.split(`// #region ${region}\n`);
    expect(text).toBe(rest.split('// #endregion')[0]);
  });

  it('show every example, and no TypeScript that is none', () => {
    const files = new Set(shown.map(({ file }) => file));
    expect([...files].sort()).toEqual(
      examples.map((name) => `packages/examples/src/${name}`).sort(),
    );
    const sdk = readFileSync(join(root, 'docs/sdk.md'), 'utf8');
    expect([...sdk.matchAll(/^```ts$/gm)]).toHaveLength(
      shown.filter(({ document }) => document === 'docs/sdk.md').length,
    );
  });
});
