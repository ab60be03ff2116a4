import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  LocalTransport,
  MemoryNetwork,
  SystemClock,
  type Transport,
  toStoreId,
} from '@flotilla/base';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TestNatsServer } from '../testing/nats-server.ts';
import { eventually, transportCases } from '../testing/transport-suite.ts';
import { connectNats } from './nats-transport.ts';
import { addressOfHint, hintSubjectOf } from './subjects.ts';

const storeOne = { kind: 'store', storeId: toStoreId(1), channel: 'kv' } as const;
const open: Transport[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((transport) => transport.close()));
});

describe('MemoryTransport', () => {
  for (const { name, run } of transportCases) {
    it(name, async () => {
      const network = new MemoryNetwork({ clock: new SystemClock() });
      await run({
        connect: (process) => {
          const transport = network.connect(process);
          open.push(transport);
          return Promise.resolve(transport);
        },
        settle: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
      });
    });
  }
});

describe('LocalTransport', () => {
  for (const { name, run } of transportCases) {
    it(name, async () => {
      const network = new MemoryNetwork({ clock: new SystemClock() });
      await run({
        connect: (process) => {
          const transport = new LocalTransport(network.connect(process));
          open.push(transport);
          return Promise.resolve(transport);
        },
        settle: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
      });
    });
  }
});

describe('NATS transport', () => {
  let server: TestNatsServer;
  let clusters = 0;

  beforeAll(async () => {
    server = await TestNatsServer.start();
  });
  afterAll(async () => {
    await server.stop();
  });

  async function connect(cluster: string, name: string, at = server): Promise<Transport> {
    const transport = await connectNats({ servers: [at.url], cluster, name });
    open.push(transport);
    return transport;
  }

  /** What one connection has sent, the server has handled when a second round trip has come back. */
  async function settle(cluster: string): Promise<void> {
    const mine = open.slice();
    const probes = mine.map((transport, i) => {
      let back = false;
      const at = { kind: 'client', clientId: `settle-${i}` } as const;
      const listener = transport.listen(at, () => {
        back = true;
      });
      transport.send(at, Uint8Array.of(1));
      return { listener, transport, isBack: () => back || !transport.connected };
    });
    await eventually(`round trips of ${cluster}`, () => probes.every((probe) => probe.isBack()));
    for (const { listener } of probes) listener.close();
  }

  for (const { name, run } of transportCases) {
    it(name, async () => {
      const cluster = `c${++clusters}`;
      await run({
        connect: (process) => connect(cluster, process),
        settle: async () => {
          open.splice(0, open.length, ...open.filter((transport) => transport.connected));
          await settle(cluster);
          await settle(cluster);
        },
      });
    });
  }

  it('keeps clusters of different names apart', async () => {
    const [a, b] = [await connect('left', 'a'), await connect('right', 'b')];
    const heard: string[] = [];
    a.listen(storeOne, () => void heard.push('left'));
    b.listen(storeOne, () => void heard.push('right'));
    await settle('both');
    b.send(storeOne, Uint8Array.of(1));
    await eventually('right hears', () => heard.length === 1);
    await settle('both');
    expect(heard).toEqual(['right']);
  });

  it('reconnects after the server was killed and started again, and keeps nothing sent meanwhile', async () => {
    const own = await TestNatsServer.start();
    try {
      const receiver = await connect('again', 'receiver', own);
      const sender = await connect('again', 'sender', own);
      const frames: number[] = [];
      receiver.listen(storeOne, (frame) => void frames.push(frame[0] ?? -1));
      const states: boolean[] = [];
      sender.onConnection((connected) => void states.push(connected));
      await settle('again');
      sender.send(storeOne, Uint8Array.of(1));
      await eventually('the first frame', () => frames.length === 1);
      await own.stop();
      await eventually('both notice', () => !sender.connected && !receiver.connected);
      for (let i = 0; i < 50; i++) sender.send(storeOne, Uint8Array.of(2));
      await own.startAgain();
      await eventually('both are back', () => sender.connected && receiver.connected, 10_000);
      await settle('again');
      sender.send(storeOne, Uint8Array.of(3));
      await eventually('a new frame', () => frames.includes(3));
      expect(frames).toEqual([1, 3]);
      expect(states).toEqual([false, true]);
    } finally {
      await own.stop();
    }
  });

  it('waits for a server that is not there yet', async () => {
    const own = await TestNatsServer.start();
    await own.stop();
    const connecting = connect('late', 'early-bird', own);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await own.startAgain();
    try {
      expect((await connecting).connected).toBe(true);
    } finally {
      await own.stop();
    }
  });

  it('gives up the first connection after the given time', async () => {
    const own = await TestNatsServer.start();
    await own.stop();
    await expect(
      connectNats({ servers: [own.url], cluster: 'c', name: 'n', firstConnectTimeoutMs: 50 }),
    ).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('refuses a server whose payload limit is too small', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'flotilla-nats-config-'));
    const config = join(directory, 'small.conf');
    await writeFile(config, 'max_payload: 100KB\n');
    const small = await TestNatsServer.start({ args: ['-c', config] });
    try {
      await expect(
        connectNats({ servers: [small.url], cluster: 'c', name: 'n' }),
      ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    } finally {
      await small.stop();
      await rm(directory, { recursive: true });
    }
  });

  it('closes at once while the server is away', async () => {
    const own = await TestNatsServer.start();
    const transport = await connectNats({ servers: [own.url], cluster: 'c', name: 'n' });
    await own.stop();
    await eventually('it notices', () => !transport.connected);
    await transport.close();
    expect(transport.connected).toBe(false);
  });

  it('runs on the server configuration for development', async () => {
    const config = fileURLToPath(new URL('../../../../deploy/nats/flotilla.conf', import.meta.url));
    const configured = await TestNatsServer.start({ args: ['-c', config] });
    try {
      const transport = await connect('configured', 'n', configured);
      expect(transport.connected).toBe(true);
    } finally {
      await configured.stop();
    }
  });

  it.each(['', 'a.b', 'a b', '*', '>'])('refuses the cluster name %j', async (cluster) => {
    await expect(connectNats({ servers: [server.url], cluster, name: 'n' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});

describe('hint subjects', () => {
  it('name their address and nothing else does', () => {
    const inbox = '_INBOX.abc';
    for (const address of [
      storeOne,
      { kind: 'client', clientId: 'x' },
      { kind: 'all-stores' },
    ] as const)
      expect(addressOfHint(inbox, hintSubjectOf(inbox, address))).toEqual(address);
    for (const subject of [
      'other.store.1.kv',
      `${inbox}.store.0.kv`,
      `${inbox}.store.01.kv`,
      `${inbox}.store.1e3.kv`,
      `${inbox}.store.1.other`,
      `${inbox}.store.1`,
      `${inbox}.store.1.kv.x`,
      `${inbox}.client`,
      `${inbox}.client.ü`,
      `${inbox}.stores.x`,
      `${inbox}.`,
    ])
      expect(addressOfHint(inbox, subject)).toBeUndefined();
  });
});
