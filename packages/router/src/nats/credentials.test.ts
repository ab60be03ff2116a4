/** Every way to say who one is, against a nats-server that wants it; and what is said when it is refused. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DbError, type Logger, silentLogger } from '@flotilla/base';
import { nkeys } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TestNatsServer } from '../testing/nats-server.ts';
import { eventually } from '../testing/transport-suite.ts';
import { connectNats, type NatsOptions } from './nats-transport.ts';

type Given = Omit<NatsOptions, 'servers' | 'cluster' | 'name'>;

let directory: string;
let server: TestNatsServer | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flotilla-credentials-'));
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function startServer(configuration: string): Promise<void> {
  const file = join(directory, 'nats.conf');
  await writeFile(file, configuration);
  server = await TestNatsServer.start({ args: ['-c', file] });
}

/** @returns `connected`, or the error's code and text */
async function tryToConnect(given: Given): Promise<string> {
  const servers = [server?.url ?? 'nats://127.0.0.1:1'];
  const options = { servers, cluster: 'c', name: 'test', firstConnectTimeoutMs: 60_000 };
  try {
    const transport = await connectNats({ ...options, ...given });
    await transport.close();
    return 'connected';
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

const seedOf = (pair: { getSeed(): Uint8Array }): string => Buffer.from(pair.getSeed()).toString();

/** A part of a credentials file. */
const line = (what: string, content: string): string =>
  `-----BEGIN ${what}-----\n${content}\n------END ${what}------\n\n`;

/** A JWT as NATS signs them. */
function jwtOf(
  issuer: ReturnType<typeof nkeys.createUser>,
  subject: string,
  claims: Readonly<Record<string, unknown>>,
): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = { jti: subject, iat: 1_700_000_000, iss: issuer.getPublicKey(), sub: subject };
  const text = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part({ ...body, ...claims })}`;
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString('base64url')}`;
}

describe('credentials for NATS', () => {
  it('are a user and a password', async () => {
    await startServer('authorization { user: ann, password: secret }');
    expect(await tryToConnect({ user: 'ann', password: 'secret' })).toBe('connected');
    const refused = `INVALID_ARGUMENT: the NATS server refuses the credentials, or wants some: ${server?.url}`;
    expect(await tryToConnect({ user: 'ann', password: 'guess' })).toBe(refused);
    expect(await tryToConnect({})).toBe(refused);
  });

  it('are a token', async () => {
    await startServer('authorization { token: t0ken }');
    expect(await tryToConnect({ token: 't0ken' })).toBe('connected');
    expect(await tryToConnect({ token: 'other' })).toContain('refuses the credentials');
  });

  it('are the seed of an nkey', async () => {
    const user = nkeys.createUser();
    await startServer(`authorization { users: [{ nkey: ${user.getPublicKey()} }] }`);
    expect(await tryToConnect({ nkeySeed: `${seedOf(user)}\n` })).toBe('connected');
    const other = seedOf(nkeys.createUser());
    expect(await tryToConnect({ nkeySeed: other })).toContain('refuses the credentials');
  });

  it('are those of a JWT, as a credentials file has them', async () => {
    const [operator, account, user] = [
      nkeys.createOperator(),
      nkeys.createAccount(),
      nkeys.createUser(),
    ];
    const limits = { subs: -1, data: -1, payload: -1 };
    const unlimited = { ...limits, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
    const nats = (type: string, more = {}) => ({ nats: { type, version: 2, ...more } });
    const operatorJwt = jwtOf(operator, operator.getPublicKey(), nats('operator'));
    const accountJwt = jwtOf(
      operator,
      account.getPublicKey(),
      nats('account', { limits: unlimited }),
    );
    const userJwt = jwtOf(
      account,
      user.getPublicKey(),
      nats('user', { ...limits, pub: {}, sub: {} }),
    );
    await startServer(
      `operator: ${operatorJwt}\nresolver: MEMORY\n` +
        `resolver_preload { ${account.getPublicKey()}: ${accountJwt} }\n`,
    );
    const credentials = line('NATS USER JWT', userJwt) + line('USER NKEY SEED', seedOf(user));
    expect(await tryToConnect({ credentials })).toBe('connected');
    const stolen =
      line('NATS USER JWT', userJwt) + line('USER NKEY SEED', seedOf(nkeys.createUser()));
    expect(await tryToConnect({ credentials: stolen })).toContain('refuses the credentials');
    // What a file holds is looked at for every connection.
    const credentialsFile = join(directory, 'user.creds');
    await writeFile(credentialsFile, stolen);
    expect(await tryToConnect({ credentialsFile })).toContain('refuses the credentials');
    const options = { servers: [server?.url ?? ''], cluster: 'c', name: 'waits', credentialsFile };
    let refused: () => void = () => {};
    const isRefused = new Promise<void>((resolve) => {
      refused = resolve;
    });
    const logger: Logger = { ...silentLogger, warn: () => refused(), child: () => logger };
    const waits = connectNats({ ...options, logger });
    await isRefused;
    await writeFile(credentialsFile, credentials);
    const transport = await waits;
    expect(transport.connected).toBe(true);
    await transport.close();
  });

  it('are those of a file at the moment at which a connection that was lost is made again', async () => {
    const [first, second] = [nkeys.createUser(), nkeys.createUser()];
    const allow = (user: typeof first): string =>
      `authorization { users: [{ nkey: ${user.getPublicKey()} }] }`;
    // A server without operators takes the nkey's signature and does not look at the JWT.
    const contentOf = (user: typeof first): string =>
      line('NATS USER JWT', 'e30.e30.e30') + line('USER NKEY SEED', seedOf(user));
    await startServer(allow(first));
    const credentialsFile = join(directory, 'replaced.creds');
    await writeFile(credentialsFile, contentOf(first));
    const servers = [server?.url ?? ''];
    const transport = await connectNats({ servers, cluster: 'c', name: 'test', credentialsFile });
    try {
      await writeFile(credentialsFile, contentOf(second));
      await server?.stop();
      await eventually('the connection is lost', () => !transport.connected);
      await writeFile(join(directory, 'nats.conf'), allow(second));
      await server?.startAgain();
      await eventually('it is made again', () => transport.connected, 10_000);
    } finally {
      await transport.close();
    }
  });

  it('are refused before anything is dialled where they make no sense, and never shown', async () => {
    const empty = join(directory, 'empty.creds');
    await writeFile(empty, 'SUSECRET');
    const cases: readonly [Given, string][] = [
      [{ user: 'a', token: 'b' }, 'in 2 ways: user and password; token'],
      [{ password: 'a' }, 'a password for NATS needs its user'],
      [{ nkeySeed: 'SUNOSEED' }, 'nkeySeed is no seed of a user'],
      [{ nkeySeed: seedOf(nkeys.createUser()), credentials: 'x' }, 'in 2 ways'],
      [{ credentials: 'SUSECRET' }, 'hold no JWT with its seed'],
      [{ credentials: 'x', credentialsFile: 'y' }, 'in 2 ways: credentials; credentialsFile'],
      [{ credentialsFile: join(directory, 'none') }, 'is not there'],
      [{ credentialsFile: empty }, `${empty} holds no JWT with its seed`],
    ];
    for (const [given, text] of cases) {
      const said = await tryToConnect(given);
      expect(said).toContain('INVALID_ARGUMENT');
      expect(said).toContain(text);
      expect(said).not.toMatch(/SUNOSEED|SUSECRET/);
    }
  });
});

describe('TLS with NATS', () => {
  // The gateway's certificates for tests: an authority, a server of 127.0.0.1, a client, and a stranger's authority.
  const made = fileURLToPath(new URL('../../../gateway/testdata/tls/', import.meta.url));
  const pem = (name: string): Promise<string> => readFile(join(made, name), 'utf8');

  it('trusts whom it is told to, says why it does not, and shows a certificate', async () => {
    const [cert, key, authority] = ['server.pem', 'server.key', 'authority.pem'].map((name) =>
      join(made, name),
    );
    await startServer(
      `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${authority}", verify: true }`,
    );
    const ca = await pem('authority.pem');
    const own = { ca, cert: await pem('ann.pem'), key: await pem('ann.key') };
    expect(await tryToConnect({ tls: own })).toBe('connected');
    expect(await tryToConnect({ tls: { ...own, ca: await pem('stranger.pem') } })).toMatch(
      /^INVALID_ARGUMENT: TLS with the NATS server fails: .*certificate/,
    );
    expect(await tryToConnect({ tls: {} })).toMatch(
      /^INVALID_ARGUMENT: TLS with the NATS server fails: .*certificate/,
    );
    await server?.stop();
    await startServer('');
    expect(await tryToConnect({ tls: own })).toContain('the NATS server offers no TLS');
  });
});
