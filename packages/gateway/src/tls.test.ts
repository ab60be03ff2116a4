import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type AccessRule, parseAccessRules } from './access-rules.ts';
import { sslRequest, startup } from './testing/raw-client.ts';
import { startTestGateway, stopTestGateway, type TestGateway } from './testing/test-gateway.ts';

const made = fileURLToPath(new URL('../testdata/tls/', import.meta.url));
const pem = (name: string): string => readFileSync(join(made, name), 'utf8');
const authority = pem('authority.pem');

let directory: string;
let version = 0;
let world: TestGateway;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-tls-'));
  use('server');
});
afterEach(async () => {
  await stopTestGateway(world);
  expect(world.fatals).toEqual([]);
  rmSync(directory, { recursive: true });
});

/** Puts a certificate where the gateway looks. */
function use(name: string): void {
  version++;
  for (const kind of ['pem', 'key'])
    copyFileSync(join(made, `${name}.${kind}`), join(directory, `gateway.${kind}`));
}

function rules(text: string): readonly AccessRule[] {
  const parsed = parseAccessRules(text);
  if (!parsed.ok) throw new Error(parsed.problems.join());
  return parsed.rules;
}

async function start(accessRules?: string): Promise<void> {
  world = await startTestGateway({
    tls: {
      asksForCertificates: true,
      version: () => String(version),
      read: () => ({
        cert: readFileSync(join(directory, 'gateway.pem')),
        key: readFileSync(join(directory, 'gateway.key')),
        clientCa: readFileSync(join(made, 'authority.pem')),
      }),
    },
    ...(accessRules === undefined ? {} : { accessRules: rules(accessRules) }),
  });
}

function client(ssl: pg.ClientConfig['ssl']): pg.Client {
  const { port } = world.gateway;
  return new pg.Client({ host: '127.0.0.1', port, user: 'ann', database: 'shop', ssl });
}

async function selects(ssl: pg.ClientConfig['ssl']): Promise<unknown> {
  const connection = client(ssl);
  await connection.connect();
  const { rows } = await connection.query('select 1');
  await connection.end();
  return rows[0];
}

/** As a client that begins with TLS. Resolves to what it hears after its start-up packet, or why it failed. */
function direct(options: ConnectionOptions): Promise<string> {
  return new Promise((resolve) => {
    const { port } = world.gateway;
    const socket = connectTls({ host: '127.0.0.1', port, ca: authority, ...options }, () =>
      socket.write(startup({ user: 'ann' })),
    );
    socket.on('data', (bytes) => resolve(bytes.toString('latin1', 0, 1)));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('close', () => resolve('closed'));
  });
}

describe('TLS', () => {
  test('is there for those who ask, and the others may go without', async () => {
    await start();
    expect(await selects({ ca: authority })).toEqual({ '?column?': 1 });
    expect(await selects(false)).toEqual({ '?column?': 1 });
  });

  test('carries a large result through backpressure', async () => {
    await start();
    const connection = client({ ca: authority });
    await connection.connect();
    const { rows } = await connection.query('values 20000 100');
    expect(rows).toHaveLength(20_000);
    await connection.end();
  });

  test('shows the certificate of its authority', async () => {
    await start();
    await expect(selects({ ca: pem('stranger.pem') })).rejects.toThrow(/unable to|self-signed/);
  });

  test('a renewed certificate is used without a restart, a broken one is not', async () => {
    await start();
    const serial = async (): Promise<string> =>
      new Promise((resolve, reject) => {
        const { port } = world.gateway;
        const options = { host: '127.0.0.1', port, ca: authority, ALPNProtocols: ['postgresql'] };
        const socket = connectTls(options, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    const first = await serial();
    writeFileSync(join(directory, 'gateway.pem'), 'no certificate at all');
    version++;
    world.clock.advance(2_000);
    expect(await serial()).toBe(first);
    use('renewed');
    world.clock.advance(2_000);
    expect(await serial()).not.toBe(first);
    const events = world.logs.map(({ event }) => event);
    expect(events).toContain('gateway_certificate_not_reloaded');
    expect(events).toContain('gateway_certificate_reloaded');
  });

  test('a broken certificate at the start is an error', async () => {
    writeFileSync(join(directory, 'gateway.key'), 'no key at all');
    await expect(start()).rejects.toThrow();
    await startPlain();
  });

  test('from the first byte needs ALPN', async () => {
    await start();
    expect(await direct({ ALPNProtocols: ['postgresql'] })).toBe('R');
    expect(await direct({})).toBe('closed');
    expect(await direct({ ALPNProtocols: ['http/1.1'] })).toMatch(/ERR_SSL|ECONNRESET/);
  });

  test('old versions are refused', async () => {
    await start();
    const options = { ALPNProtocols: ['postgresql'], maxVersion: 'TLSv1.1', minVersion: 'TLSv1' };
    expect(await direct({ ...options, ciphers: 'ALL:@SECLEVEL=0' } as ConnectionOptions)).toMatch(
      /ERR_SSL|ECONNRESET/,
    );
  });

  test('bytes behind the request, before encryption, end the connection', async () => {
    await start();
    const { port } = world.gateway;
    const heard = await new Promise<string>((resolve) => {
      let all = '';
      const socket = connectSocket(port, '127.0.0.1', () =>
        socket.write(Buffer.concat([sslRequest, startup({ user: 'ann' })])),
      );
      socket.on('data', (bytes) => {
        all += bytes.toString('latin1');
      });
      socket.on('end', () => {
        socket.end();
        resolve(all);
      });
    });
    expect(heard).toBe('');
    expect(world.stage.begun).toEqual([]);
  });

  test('a second request inside of TLS ends the connection', async () => {
    await start();
    const { port } = world.gateway;
    const heard = await new Promise<string>((resolve) => {
      let all = '';
      const options = { host: '127.0.0.1', port, ca: authority, ALPNProtocols: ['postgresql'] };
      const socket = connectTls(options, () => socket.write(sslRequest));
      socket.on('data', (bytes) => {
        all += bytes.toString('latin1');
      });
      socket.on('close', () => resolve(all));
      socket.on('error', () => {});
    });
    expect(heard).toBe('');
  });

  test('a handshake that stalls is dropped with the others that have not authenticated', async () => {
    await start();
    const { port } = world.gateway;
    await new Promise<void>((resolve) => {
      const socket = connectSocket(port, '127.0.0.1', () => socket.write(sslRequest));
      socket.once('data', (answer) => {
        expect(answer.toString()).toBe('S');
        world.clock.advance(10_001);
      });
      socket.on('close', () => resolve());
      socket.on('error', () => {});
    });
  });

  test('without it the answer is no', async () => {
    await startPlain();
    await expect(selects({ ca: authority })).rejects.toThrow(/does not support SSL/);
  });
});

async function startPlain(): Promise<void> {
  world = await startTestGateway();
}

describe('access rules', () => {
  const identity = (name: string) => ({
    ca: authority,
    cert: pem(`${name}.pem`),
    key: pem(`${name}.key`),
  });

  test('those whom no rule names stay outside, in clear', async () => {
    await start('hostssl all all all trust');
    expect(await selects({ ca: authority })).toEqual({ '?column?': 1 });
    await expect(selects(false)).rejects.toMatchObject({
      code: '28000',
      message: expect.stringMatching(
        /^no pg_hba.conf entry for host "127.0.0.1", user "ann", database "shop", no encryption$/,
      ),
    });
    expect(world.stage.begun).toHaveLength(1);
  });

  test('reject says so', async () => {
    await start('host all ann all reject\nhost all all all trust');
    await expect(selects(false)).rejects.toMatchObject({ code: '28000' });
  });

  test('a certificate stands for its name', async () => {
    await start('hostssl all all all cert');
    expect(await selects(identity('ann'))).toEqual({ '?column?': 1 });
  });

  test.each([
    ['none', undefined, /requires a valid client certificate/],
    ['one that has expired', 'ann-expired', /requires a valid client certificate/],
    ['one of another authority', 'ann-of-stranger', /requires a valid client certificate/],
    ['one for servers', 'ann-as-server', /requires a valid client certificate/],
    ['one with two names', 'ann-twice', /requires a valid client certificate/],
  ])('%s does not', async (_what, name, message) => {
    await start('hostssl all all all cert');
    const ssl = name === undefined ? { ca: authority } : identity(name);
    await expect(selects(ssl)).rejects.toMatchObject({
      code: '28000',
      message: expect.stringMatching(message),
    });
    expect(world.stage.begun).toEqual([]);
  });

  test("nor does somebody else's", async () => {
    await start('hostssl all bob all cert\nhost all all all trust');
    const { port } = world.gateway;
    const bob = new pg.Client({ host: '127.0.0.1', port, user: 'bob', ssl: identity('ann') });
    await expect(bob.connect()).rejects.toMatchObject({
      code: '28000',
      message: 'certificate authentication failed for user "bob"',
    });
  });
});
