/**
 * Makes one process's configuration from flags, environment, config file and defaults, in this order of precedence.
 * Every value is checked; an error names the key, where its value came from, the value, and what to do instead.
 */
import { deadAfterReports, defaultStoreLimits } from '@flotilla/shard';
import { parse as parseYaml } from 'yaml';
import { UsageError } from '../usage-error.ts';
import {
  environmentName,
  type ListenAddress,
  type ProcessConfig,
  type Role,
  type Setting,
  settings,
} from './settings.ts';

export interface ConfigSources {
  /** By setting key (`store-id`); only what was given. `config` names the file. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Throws if the file cannot be read. */
  readonly readFile: (path: string) => string;
  readonly hostName: string;
  /** The system's directory for temporary files. */
  readonly temporaryDirectory: string;
}

interface Found {
  readonly value: unknown;
  /** `--store-id`, `FLOTILLA_STORE_ID`, `store-id in flotilla.yaml`. */
  readonly source: string;
}

/** @throws UsageError that lists every problem, one a line */
export function loadConfig(sources: ConfigSources): ProcessConfig {
  const file = readConfigFile(sources);
  const problems: string[] = [];
  const values = new Map<string, unknown>();
  for (const setting of settings) {
    const found = find(setting, sources, file);
    if (found === undefined) continue;
    const parsed = setting.schema.safeParse(found.value);
    if (parsed.success) values.set(setting.key, parsed.data);
    else problems.push(problem(setting, found));
  }
  if (problems.length > 0) throw new UsageError(problems.join('\n'));
  const silence = {
    deadStoreAfterSeconds: (values.get('dead-store-after') as number | undefined) ?? 300,
    storeReportSeconds: (values.get('store-report-every') as number | undefined) ?? 5,
  };
  checkSilence(silence);
  const text = (key: string): string | undefined => values.get(key) as string | undefined;
  const number = (key: string): number | undefined => values.get(key) as number | undefined;
  return {
    roles: [
      ...new Set((values.get('roles') as Role[] | undefined) ?? ['store', 'gateway']),
    ] as Role[],
    storeId: number('store-id'),
    data: text('data') ?? 'flotilla-data',
    nats: (values.get('nats') as string[] | undefined) ?? ['nats://127.0.0.1:4222'],
    natsSecurity: {
      user: text('nats-user'),
      password: text('nats-password'),
      token: text('nats-token'),
      nkeySeed: text('nats-nkey-seed'),
      credentialsFile: text('nats-credentials'),
      caFile: text('nats-ca'),
      certFile: text('nats-cert'),
      keyFile: text('nats-key'),
    },
    cluster: text('cluster') ?? 'main',
    machine: text('machine') ?? sources.hostName,
    zone: text('zone'),
    placement: {
      ...silence,
      splitBytes: number('split-bytes') ?? defaultStoreLimits.splitBytes,
      splitRequestsPerSecond:
        number('split-requests-per-second') ?? defaultStoreLimits.splitRequestsPerSecond,
      gcTtlSeconds: number('gc-ttl') ?? defaultStoreLimits.historyTtlMs / 1000,
      closedTimestampLagSeconds:
        number('closed-timestamp-lag') ?? defaultStoreLimits.closedTimestampLagMs / 1000,
      snapshotsAtOnce: number('snapshots-at-once') ?? defaultStoreLimits.snapshotsReceivingMax,
      leaseMovesAtOnce: number('lease-moves-at-once') ?? 100,
    },
    listen: (values.get('listen') as ListenAddress | undefined) ?? {
      host: '127.0.0.1',
      port: 26_432,
    },
    http: values.get('http') as ListenAddress | undefined,
    gatewaySecurity: {
      certFile: text('tls-cert'),
      keyFile: text('tls-key'),
      clientCaFile: text('tls-client-ca'),
      accessRulesFile: text('access-rules'),
    },
    temporaryDirectory: text('temporary-directory') ?? sources.temporaryDirectory,
    logLevel: (values.get('log-level') as ProcessConfig['logLevel'] | undefined) ?? 'info',
    logPretty: (values.get('log-pretty') as boolean | undefined) ?? false,
    readyFile: text('ready-file'),
  };
}

/** A store that lives is silent from one row to the next, and for longer where one of them is late. */
function checkSilence({
  deadStoreAfterSeconds,
  storeReportSeconds,
}: Pick<ProcessConfig['placement'], 'deadStoreAfterSeconds' | 'storeReportSeconds'>): void {
  const least = storeReportSeconds * deadAfterReports;
  if (deadStoreAfterSeconds >= least) return;
  const most = Math.floor(deadStoreAfterSeconds / deadAfterReports);
  throw new UsageError(
    `dead-store-after is ${deadStoreAfterSeconds} and store-report-every ${storeReportSeconds}: stores that live would be ` +
      `held to be dead between two of their rows. Set dead-store-after to ${least} or more, or ` +
      `store-report-every to ${Math.max(1, most)}.`,
  );
}

interface ConfigFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
}

function readConfigFile(sources: ConfigSources): ConfigFile | undefined {
  const named = sources.flags.config ?? sources.environment.FLOTILLA_CONFIG;
  if (named === undefined || named === '') return undefined;
  const path = String(named);
  let values: unknown;
  try {
    values = parseYaml(sources.readFile(path)); // JSON is YAML
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`config file ${path} cannot be read: ${reason}`);
  }
  if (values === null || values === undefined) return { path, values: {} };
  if (typeof values !== 'object' || Array.isArray(values)) {
    throw new UsageError(`config file ${path} holds no "key: value" lines`);
  }
  const known = new Set(settings.map((setting) => setting.key));
  const unknown = Object.keys(values).filter((key) => !known.has(key));
  if (unknown.length > 0) {
    throw new UsageError(
      `config file ${path}: unknown key ${unknown.map((key) => `"${key}"`).join(', ')}; ` +
        `known keys: ${[...known].join(', ')}`,
    );
  }
  return { path, values: values as Record<string, unknown> };
}

function find(
  setting: Setting,
  sources: ConfigSources,
  file: ConfigFile | undefined,
): Found | undefined {
  const flag = sources.flags[setting.key];
  if (flag !== undefined) return { value: flag, source: `--${setting.key}` };
  const name = environmentName(setting.key);
  const variable = sources.environment[name];
  if (variable !== undefined && variable !== '') return { value: variable, source: name };
  const inFile = file?.values[setting.key];
  if (file !== undefined && inFile !== undefined && inFile !== null) {
    return { value: inFile, source: `${setting.key} in ${file.path}` };
  }
  return undefined;
}

function problem(setting: Setting, found: Found): string {
  const shown = setting.secret === true ? '(not shown)' : JSON.stringify(found.value);
  return (
    `${found.source} is ${shown}: expected ${setting.expected}. ` +
    `Set --${setting.key}, ${environmentName(setting.key)}, or "${setting.key}:" in the config file.`
  );
}
