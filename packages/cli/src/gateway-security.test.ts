import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GatewaySecurity } from './config/settings.ts';
import { gatewaySecurity } from './gateway-security.ts';

const made = fileURLToPath(new URL('../../gateway/testdata/tls/', import.meta.url));
const nothing: GatewaySecurity = {
  certFile: undefined,
  keyFile: undefined,
  clientCaFile: undefined,
  accessRulesFile: undefined,
};
const tls = { certFile: join(made, 'server.pem'), keyFile: join(made, 'server.key') };

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-security-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function rules(text: string): string {
  const file = join(directory, 'access.conf');
  writeFileSync(file, text);
  return file;
}

test('nothing asked for is nothing given', () => {
  expect(gatewaySecurity(nothing)).toEqual({});
});

test('files become what the gateway takes', () => {
  const accessRulesFile = rules('hostssl all all all cert');
  const clientCaFile = join(made, 'authority.pem');
  const security = gatewaySecurity({ ...tls, clientCaFile, accessRulesFile });
  expect(security.tls?.asksForCertificates).toBe(true);
  expect(security.tls?.read()).toEqual({
    cert: readFileSync(tls.certFile),
    key: readFileSync(tls.keyFile),
    clientCa: readFileSync(clientCaFile),
  });
  expect(security.accessRules).toMatchObject([{ line: 1, method: 'cert' }]);
});

test('a file that is replaced is another version', () => {
  const certFile = join(directory, 'gateway.pem');
  const keyFile = join(directory, 'gateway.key');
  const use = (name: string): void => {
    copyFileSync(join(made, `${name}.pem`), certFile);
    copyFileSync(join(made, `${name}.key`), keyFile);
  };
  use('server');
  const source = gatewaySecurity({ ...nothing, certFile, keyFile }).tls;
  const before = source?.version();
  expect(source?.version()).toBe(before);
  use('ann-of-stranger');
  expect(source?.version()).not.toBe(before);
  expect(source?.read().cert).toEqual(readFileSync(join(made, 'ann-of-stranger.pem')));
});

test.each([
  ['a certificate alone', { certFile: tls.certFile }, /belong together/],
  ['an authority alone', { clientCaFile: join(made, 'authority.pem') }, /needs --tls-cert/],
  ['a file that is not there', { ...tls, certFile: '/nowhere.pem' }, /--tls-cert is .*ENOENT/],
  ['no certificate', { ...tls, certFile: join(made, 'make.sh') }, /--tls-cert is .*make\.sh/],
  ["somebody else's key", { ...tls, keyFile: join(made, 'ann.key') }, /--tls-key is .*mismatch/],
])('%s is refused, and the setting named', (_what, config, message) => {
  expect(() => gatewaySecurity({ ...nothing, ...config })).toThrow(message);
});

test.each([
  ['host all all', /access\.conf, line 1: a rule is/],
  ['hostssl all all all scram-sha-256', /line 1: hostssl needs --tls-cert/],
  ['hostssl all all all cert', /needs --tls-client-ca/],
])('the rule %s is refused, and why', (text, message) => {
  const accessRulesFile = rules(text);
  expect(() => gatewaySecurity({ ...nothing, accessRulesFile })).toThrow(message);
});
