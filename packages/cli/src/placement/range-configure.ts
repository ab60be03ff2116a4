/** `flotilla range configure`: says what is wanted of the ranges of a span, or shows what is wanted of all. */
import { prefixEnd, spanText } from '@flotilla/base';
import type { RangeConfiguration, RangeConfigurationChange } from '@flotilla/router';
import { byteCount, type ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { UsageError } from '../usage-error.ts';
import { withCluster } from './with-cluster.ts';

/** As given: text, or `default`. */
export interface ConfigureWishes {
  readonly start?: string;
  readonly end?: string;
  readonly replicas?: string;
  readonly splitBytes?: string;
  readonly gcTtl?: string;
  readonly leaseZone?: string;
}

export function runConfigure(
  config: ProcessConfig,
  request: ConfigureWishes & { readonly timeoutMs: number },
  output: Output,
): Promise<number> {
  const { timeoutMs } = request;
  const change = changeOf(request);
  const wanted = Object.values(change).some((each) => each !== undefined);
  const span = request.start === undefined ? undefined : spanOf(request.start, request.end);
  if (wanted && span === undefined) throw new UsageError('name the span: --start <hex>');
  const failed = wanted ? 'nothing was changed' : 'what is wanted is not known';
  return withCluster(config, { timeoutMs, failed, output }, async (router) => {
    if (span !== undefined && wanted) {
      const now = await router.configureSpan(span, change, { timeoutMs });
      output.out(`${lineOf(now ?? span)}\n`);
      return;
    }
    const all = await router.readConfigurations({ timeoutMs });
    for (const each of all) output.out(`${lineOf(each)}\n`);
    if (all.length === 0) output.out('Nothing is wanted of any span: all are as by default.\n');
  });
}

function changeOf({
  replicas,
  splitBytes,
  gcTtl,
  leaseZone,
}: ConfigureWishes): RangeConfigurationChange {
  return {
    replicas: numberOf('--replicas', replicas),
    splitBytes: numberOf('--split-bytes', splitBytes),
    gcTtlSeconds: numberOf('--gc-ttl', gcTtl),
    leasePreference: leaseZone === 'default' ? null : leaseZone,
  };
}

function numberOf(flag: string, text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  if (text === 'default') return null;
  const value = byteCount(text);
  if (typeof value === 'number') return value;
  throw new UsageError(`${flag} is ${JSON.stringify(text)}: expected a number, or default`);
}

function spanOf(
  start: string,
  end: string | undefined,
): { startKey: Uint8Array; endKey: Uint8Array } {
  const startKey = keyOf('--start', start);
  const endKey = end === undefined ? prefixEnd(startKey) : keyOf('--end', end);
  if (endKey === undefined) throw new UsageError('--start has no end: give --end');
  return { startKey, endKey };
}

function keyOf(flag: string, hex: string): Uint8Array {
  if (!/^([0-9a-f]{2})+$/i.test(hex))
    throw new UsageError(`${flag} is a key in hex, as \`flotilla status --json\` shows them`);
  return Buffer.from(hex, 'hex');
}

function lineOf(configuration: RangeConfiguration): string {
  const { replicas, splitBytes, gcTtlSeconds, leasePreference } = configuration;
  const wishes = [
    ...(replicas === undefined ? [] : [`${replicas} replicas`]),
    ...(splitBytes === undefined ? [] : [`cut above ${splitBytes} bytes`]),
    ...(gcTtlSeconds === undefined ? [] : [`old versions kept for ${gcTtlSeconds} s`]),
    ...(leasePreference === undefined ? [] : [`led in zone ${leasePreference}`]),
  ];
  const text = wishes.length === 0 ? 'as by default' : wishes.join(', ');
  return `${spanText(configuration)}: ${text}.`;
}
