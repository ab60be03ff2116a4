/** Settings of a process against a nats-server that wants to know who it is. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestNatsServer } from '@flotilla/router/testing';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { connectToNats } from './cluster-connection.ts';
import { loadConfig } from './config/load-config.ts';

/** Of a user that was made for this test. */
const nkey = {
  seed: 'SUAB5SUWAPK4Z4IANX3RRDRNXMNQ54BZHKESWQYUDH52JAZW4BHOW5BZ7I',
  publicKey: 'UA3267TU5IEK33RGBT5YPIVQKWZGEVDAWZQDDMGXVJBGJYOTHF7VTH4E',
};

let directory: string;
let server: TestNatsServer | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'flotilla-nats-settings-'));
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

/** With settings of the environment. @returns `connected`, or the error's text */
async function connecting(environment: Readonly<Record<string, string>>): Promise<string> {
  const config = loadConfig({
    flags: { nats: server?.url ?? 'nats://127.0.0.1:1' },
    environment,
    readFile: () => '',
    hostName: 'host-a',
    temporaryDirectory: directory,
  });
  try {
    const transport = await connectToNats(config, { name: 'test', firstConnectTimeoutMs: 60_000 });
    await transport.close();
    return 'connected';
  } catch (error) {
    return String(error);
  }
}

it('a process says who it is with a password, a token, or the seed of an nkey', async () => {
  await startServer('authorization { user: ann, password: secret }');
  const ann = { FLOTILLA_NATS_USER: 'ann', FLOTILLA_NATS_PASSWORD: 'secret' };
  expect(await connecting(ann)).toBe('connected');
  expect(await connecting({})).toContain('refuses the credentials');
  await server?.stop();
  await startServer('authorization { token: t0ken }');
  expect(await connecting({ FLOTILLA_NATS_TOKEN: 't0ken' })).toBe('connected');
  expect(await connecting({ FLOTILLA_NATS_TOKEN: 'guess' })).toContain('refuses the credentials');
  await server?.stop();
  await startServer(`authorization { users: [{ nkey: ${nkey.publicKey} }] }`);
  expect(await connecting({ FLOTILLA_NATS_NKEY_SEED: nkey.seed })).toBe('connected');
  expect(await connecting(ann)).toContain('refuses the credentials');
});

it('a process says who it is with a file of credentials', async () => {
  // A server without operators takes the nkey's signature and does not look at the JWT.
  await startServer(`authorization { users: [{ nkey: ${nkey.publicKey} }] }`);
  const file = join(directory, 'user.creds');
  expect(await connecting({ FLOTILLA_NATS_CREDENTIALS: file })).toContain('is not there');
  const line = (what: string, content: string): string =>
    `-----BEGIN ${what}-----\n${content}\n------END ${what}------\n\n`;
  await writeFile(file, line('NATS USER JWT', 'e30.e30.e30') + line('USER NKEY SEED', nkey.seed));
  expect(await connecting({ FLOTILLA_NATS_CREDENTIALS: file })).toBe('connected');
  const both = { FLOTILLA_NATS_CREDENTIALS: file, FLOTILLA_NATS_TOKEN: 't' };
  expect(await connecting(both)).toContain('in 2 ways: token; credentialsFile');
});
