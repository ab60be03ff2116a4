import { describe, expect, it } from 'vitest';
import { UsageError } from '../usage-error.ts';
import { type ConfigSources, loadConfig } from './load-config.ts';
import { environmentName, settings } from './settings.ts';

function load(sources: Partial<ConfigSources> = {}, file?: string): ReturnType<typeof loadConfig> {
  return loadConfig({
    flags: file === undefined ? {} : { config: 'flotilla.yaml' },
    environment: {},
    readFile: () => file ?? '',
    hostName: 'host-a',
    temporaryDirectory: '/tmp',
    ...sources,
  });
}

function problemsOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error('no UsageError was thrown');
}

describe('loadConfig', () => {
  it('has a default for everything but the store id', () => {
    expect(load()).toEqual({
      roles: ['store', 'gateway'],
      storeId: undefined,
      data: 'flotilla-data',
      nats: ['nats://127.0.0.1:4222'],
      natsSecurity: {
        ...{ user: undefined, password: undefined, token: undefined },
        ...{ nkeySeed: undefined, credentialsFile: undefined },
        ...{ caFile: undefined, certFile: undefined, keyFile: undefined },
      },
      cluster: 'main',
      machine: 'host-a',
      zone: undefined,
      placement: {
        ...{ deadStoreAfterSeconds: 300, storeReportSeconds: 5 },
        ...{ splitBytes: 512 * 1024 * 1024, splitRequestsPerSecond: 20_000, gcTtlSeconds: 600 },
        ...{ snapshotsAtOnce: 2, leaseMovesAtOnce: 100, closedTimestampLagSeconds: 3 },
      },
      http: undefined,
      listen: { host: '127.0.0.1', port: 26_432 },
      gatewaySecurity: {
        ...{ certFile: undefined, keyFile: undefined },
        ...{ clientCaFile: undefined, accessRulesFile: undefined },
      },
      temporaryDirectory: '/tmp',
      logLevel: 'info',
      logPretty: false,
      readyFile: undefined,
    });
  });

  it('takes flags before the environment before the file before defaults', () => {
    const file = 'cluster: from-file\nmachine: from-file\ndata: from-file\n';
    const environment = { FLOTILLA_CLUSTER: 'from-env', FLOTILLA_MACHINE: 'from-env' };
    const flags = { cluster: 'from-flag', config: 'flotilla.yaml' };
    const config = load({ flags, environment, readFile: () => file });
    expect(config.cluster).toBe('from-flag');
    expect(config.machine).toBe('from-env');
    expect(config.data).toBe('from-file');
    expect(config.logLevel).toBe('info');
  });

  it('reads YAML and JSON files alike, named by flag or environment', () => {
    const expected = { storeId: 7, nats: ['nats://a:1', 'nats://b:2'], logPretty: true };
    const yaml = 'store-id: 7\nnats: [nats://a:1, nats://b:2]\nlog-pretty: true\n';
    const json = '{"store-id": 7, "nats": ["nats://a:1", "nats://b:2"], "log-pretty": true}';
    expect(load({}, yaml)).toMatchObject(expected);
    expect(
      load({ environment: { FLOTILLA_CONFIG: 'x.json' }, readFile: () => json }),
    ).toMatchObject(expected);
  });

  it('cuts lists and numbers out of text', () => {
    const environment = {
      FLOTILLA_ROLES: 'gateway, store,gateway',
      FLOTILLA_STORE_ID: '12',
      FLOTILLA_LISTEN: '[::1]:0',
      FLOTILLA_LOG_PRETTY: '1',
    };
    expect(load({ environment })).toMatchObject({
      roles: ['gateway', 'store'],
      storeId: 12,
      listen: { host: '::1', port: 0 },
      logPretty: true,
    });
  });

  it('takes sizes with and without units', () => {
    const splitBytes = (value: unknown): number =>
      load({ flags: { 'split-bytes': value } }).placement.splitBytes;
    expect(splitBytes('16MiB')).toBe(16 * 1024 * 1024);
    expect(splitBytes('65536')).toBe(65_536);
    expect(splitBytes('64 KiB')).toBe(65_536);
    expect(splitBytes('1GiB')).toBe(2 ** 30);
    expect(splitBytes(0)).toBe(0);
  });

  it('treats an empty variable as not set', () => {
    expect(load({ environment: { FLOTILLA_CLUSTER: '' } }).cluster).toBe('main');
  });

  it('refuses to hold stores dead that only have not reported yet', () => {
    const flags = { 'dead-store-after': '19', 'store-report-every': '5' };
    expect(() => load({ flags })).toThrow(
      'dead-store-after is 19 and store-report-every 5: stores that live would be held to be dead between two of their ' +
        'rows. Set dead-store-after to 20 or more, or store-report-every to 4.',
    );
    expect(() => load({ flags: { 'dead-store-after': '5' } })).toThrow('20 or more');
    expect(load({ flags: { ...flags, 'dead-store-after': '20' } }).placement).toMatchObject({
      ...{ deadStoreAfterSeconds: 20, storeReportSeconds: 5 },
    });
  });

  const bad: Readonly<Record<string, readonly unknown[]>> = {
    roles: ['', 'stores', 'store,other', 3],
    'store-id': ['0', '-1', 'one', '1.5', '', 1.5, true],
    data: ['', 7],
    nats: ['', 'http://x:1', 'nats://', 'a b'],
    'nats-user': ['', 7],
    'nats-password': ['', 7],
    'nats-token': ['', 7],
    'nats-nkey-seed': ['', 7],
    'nats-credentials': ['', 7],
    'nats-ca': ['', 7],
    'nats-cert': ['', 7],
    'nats-key': ['', 7],
    cluster: ['a.b', 'a b', '>', '*', 'x'.repeat(64), ''],
    machine: ['', 'a b', 'x'.repeat(129)],
    zone: ['', 'a b', 'x'.repeat(129)],
    http: ['9180', ':9180', 'host:', 'host:65536'],
    'dead-store-after': ['0', '4', '1.5', 'soon'],
    'split-bytes': ['1', '63KiB', '65GiB', '64MB', '1.5MiB', '-1', 'big'],
    'split-requests-per-second': ['-1', '1.5', 'many'],
    'gc-ttl': ['0', '59', '2592001', '10min'],
    'closed-timestamp-lag': ['0', '61', '1.5', '3s'],
    'snapshots-at-once': ['0', '65', 'all'],
    'lease-moves-at-once': ['0', '1001', 'all'],
    'store-report-every': ['0', '61', '0.5'],
    listen: ['26432', ':26432', 'host:', 'host:65536', '::1:5', 'host:-1', 5432],
    'tls-cert': ['', 7],
    'tls-key': ['', 7],
    'tls-client-ca': ['', 7],
    'access-rules': ['', 7],
    'temporary-directory': ['', 7],
    'log-level': ['trace', 'INFO', ''],
    'log-pretty': ['yes', 'on', 3],
    'ready-file': ['', 1],
  };

  it('has bad examples for every setting', () => {
    expect(Object.keys(bad).sort()).toEqual(settings.map((setting) => setting.key).sort());
  });

  const cases = Object.entries(bad).flatMap(([key, values]) =>
    values.map((value) => ({ key, value })),
  );

  it.each(cases)('refuses $key = $value, naming key, value and remedy', ({ key, value }) => {
    const text = problemsOf(() => load({ flags: { [key]: value } }));
    const secret = ['nats-password', 'nats-token', 'nats-nkey-seed'].includes(key);
    const shown = secret ? '(not shown)' : JSON.stringify(value);
    expect(text).toContain(`--${key} is ${shown}: expected `);
    expect(text).toContain(environmentName(key));
  });

  it('says where a bad value came from', () => {
    expect(problemsOf(() => load({ environment: { FLOTILLA_LISTEN: 'x' } }))).toContain(
      'FLOTILLA_LISTEN is "x"',
    );
    expect(problemsOf(() => load({}, 'listen: x'))).toContain('listen in flotilla.yaml is "x"');
  });

  it('names every problem, not only the first', () => {
    const text = problemsOf(() => load({ flags: { listen: 'x', 'store-id': 'y' } }));
    expect(text.split('\n')).toHaveLength(2);
  });

  it('refuses unknown keys, broken files and missing files', () => {
    expect(problemsOf(() => load({}, 'storeId: 1'))).toMatch(/unknown key "storeId".*store-id/);
    expect(problemsOf(() => load({}, '- 1'))).toContain('no "key: value" lines');
    expect(problemsOf(() => load({}, 'a: [1'))).toContain('cannot be read');
    const missing = (): string => {
      throw new Error('ENOENT: no such file');
    };
    expect(problemsOf(() => load({ flags: { config: 'x' }, readFile: missing }))).toContain(
      'ENOENT',
    );
  });
});
