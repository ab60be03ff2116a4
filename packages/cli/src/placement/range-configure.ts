/** `flotilla range configure`: says what is wanted of the ranges of a span, or shows what is wanted of all. */
import {
  prefixEnd,
  type Span,
  spanContainsSpan,
  spanText,
  systemSpan,
  wholeSpan,
} from '@flotilla/base';
import type { RangeConfiguration, RangeConfigurationChange, Router } from '@flotilla/router';
import { byteCount, type ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';
import { UsageError } from '../usage-error.ts';
import { withCluster } from './with-cluster.ts';

/** As given: text, or `default`. */
export interface ConfigureWishes {
  /** Instead of --start: what the cluster keeps of itself; or all that no narrower span says otherwise of. */
  readonly system?: boolean;
  readonly default?: boolean;
  readonly start?: string;
  readonly end?: string;
  readonly replicas?: string;
  readonly splitBytes?: string;
  readonly leaseZone?: string;
}

type Request = ConfigureWishes & { readonly timeoutMs: number };

/** @throws UsageError */
export function runConfigure(
  config: ProcessConfig,
  request: Request,
  output: Output,
): Promise<number> {
  const { timeoutMs } = request;
  const { wanted } = readRequest(request);
  const failed = wanted ? 'nothing was changed' : 'what is wanted is not known';
  return withCluster(config, { timeoutMs, failed, output }, (router) =>
    configure(router, request, output),
  );
}

function readRequest(request: Request): {
  readonly change: RangeConfigurationChange;
  readonly wanted: boolean;
  readonly span: Span | undefined;
} {
  const change = changeOf(request);
  const wanted = Object.values(change).some((each) => each !== undefined);
  const span = spanOf(request);
  if (wanted && span === undefined)
    throw new UsageError('name the span: --start <hex>, --system or --default');
  return { change, wanted, span };
}

/** Over any router. Rejects with DbError. */
export async function configure(
  router: Pick<Router, 'configureSpan' | 'readConfigurations'>,
  request: Request,
  output: Output,
): Promise<void> {
  const { timeoutMs } = request;
  const { change, wanted, span } = readRequest(request);
  if (span !== undefined && wanted) {
    const now = await router.configureSpan(span, change, { timeoutMs });
    output.out(`${lineOf(now ?? span)}\n`);
    return;
  }
  const all = await router.readConfigurations({ timeoutMs });
  for (const each of all) output.out(`${lineOf(each)}\n`);
  if (all.length === 0) output.out('Nothing is wanted of any span: all are as by default.\n');
}

function changeOf({ replicas, splitBytes, leaseZone }: ConfigureWishes): RangeConfigurationChange {
  return {
    replicas: numberOf('--replicas', replicas),
    splitBytes: numberOf('--split-bytes', splitBytes),
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

function spanOf({ system, default: everything, start, end }: ConfigureWishes): Span | undefined {
  if ([system, everything, start].filter((one) => one !== undefined).length > 1)
    throw new UsageError('name one span: --start <hex>, --system or --default');
  if (start === undefined && end !== undefined) throw new UsageError('--end goes with --start');
  if (system === true) return systemSpan;
  if (everything === true) return wholeSpan;
  if (start === undefined) return undefined;
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
  const { replicas, splitBytes, leasePreference } = configuration;
  const wishes = [
    ...(replicas === undefined ? [] : [`${replicas} replicas`]),
    ...(splitBytes === undefined ? [] : [`cut above ${splitBytes} bytes`]),
    ...(leasePreference === undefined ? [] : [`led in zone ${leasePreference}`]),
  ];
  const text = wishes.length === 0 ? 'as by default' : wishes.join(', ');
  return `${spanName(configuration)}: ${text}.`;
}

function spanName(span: Span): string {
  if (isSame(span, systemSpan)) return `system ${spanText(span)}`;
  return isSame(span, wholeSpan) ? `default ${spanText(span)}` : spanText(span);
}

function isSame(one: Span, other: Span): boolean {
  return spanContainsSpan(one, other) && spanContainsSpan(other, one);
}
