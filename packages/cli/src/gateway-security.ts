/** From files that settings name to what the gateway wants: certificate, authority, access rules. */
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type GatewayOptions, parseAccessRules, type TlsSource } from '@flotilla/gateway';
import type { GatewaySecurity } from './config/settings.ts';
import { UsageError } from './usage-error.ts';

/** @throws UsageError that names the setting, the file and what is wrong with it */
export function gatewaySecurity(
  config: GatewaySecurity,
): Pick<GatewayOptions, 'tls' | 'accessRules'> {
  const { certFile, keyFile, clientCaFile, accessRulesFile } = config;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new UsageError('--tls-cert and --tls-key belong together: give both or neither.');
  if (clientCaFile !== undefined && certFile === undefined)
    throw new UsageError(
      '--tls-client-ca needs --tls-cert and --tls-key: clients show theirs in TLS.',
    );
  const accessRules = accessRulesFile === undefined ? undefined : rulesOf(accessRulesFile);
  const tls =
    certFile === undefined || keyFile === undefined
      ? undefined
      : tlsFromFiles({ certFile, keyFile, clientCaFile });
  const passwordRule = accessRules?.find(
    ({ method, connection }) => method === 'scram-sha-256' && connection === 'hostssl',
  );
  if (passwordRule !== undefined && tls === undefined)
    throw new UsageError(
      `--access-rules ${accessRulesFile}, line ${passwordRule.line}: hostssl needs --tls-cert and --tls-key, or no client fits it.`,
    );
  if (accessRules?.some(({ method }) => method === 'cert') && clientCaFile === undefined)
    throw new UsageError(
      `--access-rules ${accessRulesFile}: cert needs --tls-client-ca, or no certificate is good.`,
    );
  return {
    ...(tls === undefined ? {} : { tls }),
    ...(accessRules === undefined ? {} : { accessRules }),
  };
}

interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCaFile: string | undefined;
}

function tlsFromFiles({ certFile, keyFile, clientCaFile }: TlsFiles): TlsSource {
  // The gateway would fail too, but cannot say which of the files it was.
  const cert = read('--tls-cert', certFile);
  const key = read('--tls-key', keyFile);
  check('--tls-cert', certFile, () => createSecureContext({ cert }));
  check('--tls-key', keyFile, () => createSecureContext({ cert, key }));
  if (clientCaFile !== undefined) read('--tls-client-ca', clientCaFile);
  const files = [certFile, keyFile, ...(clientCaFile === undefined ? [] : [clientCaFile])];
  return {
    asksForCertificates: clientCaFile !== undefined,
    version: () =>
      files
        .map((file) => statSync(file))
        .map(({ mtimeMs, size, ino }) => `${ino}:${size}:${mtimeMs}`)
        .join(' '),
    read: () => ({
      cert: readFileSync(certFile),
      key: readFileSync(keyFile),
      ...(clientCaFile === undefined ? {} : { clientCa: readFileSync(clientCaFile) }),
    }),
  };
}

function rulesOf(file: string): NonNullable<GatewayOptions['accessRules']> {
  const parsed = parseAccessRules(read('--access-rules', file).toString('utf8'));
  if (parsed.ok) return parsed.rules;
  throw new UsageError(parsed.problems.map((each) => `--access-rules ${file}, ${each}`).join('\n'));
}

function read(flag: string, file: string): Buffer {
  return check(flag, file, () => readFileSync(file));
}

function check<T>(flag: string, file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${flag} is "${file}", which cannot be used: ${reason}`);
  }
}
