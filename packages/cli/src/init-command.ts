/** `flotilla init`: founds a cluster on running stores. Harmless to repeat: a founded cluster is only checked. */
import {
  type Clock,
  DbError,
  ExitCode,
  type Logger,
  osPrng,
  type Prng,
  SystemClock,
  type Transport,
  toHex,
} from '@flotilla/base';
import { type BootstrapResult, bootstrapCluster } from '@flotilla/router';
import {
  foundingRangesDefault,
  foundingRangesMax,
  foundingRangesMin,
  initialRanges,
} from '@flotilla/shard';
import { connectForCommand } from './cluster-connection.ts';
import type { ProcessConfig } from './config/settings.ts';
import type { Output } from './output.ts';
import { UsageError } from './usage-error.ts';

export interface InitRequest {
  readonly stores: number;
  /** How many ranges the key space is cut into. */
  readonly ranges: number;
  readonly timeoutMs: number;
}

/** @throws UsageError: too few or too many */
export function rangesOf(asked: number | undefined): number {
  const ranges = asked ?? foundingRangesDefault;
  if (ranges >= foundingRangesMin && ranges <= foundingRangesMax) return ranges;
  throw new UsageError(
    `--ranges is ${ranges}: expected ${foundingRangesMin} to ${foundingRangesMax}`,
  );
}

/** @returns 0 when the cluster is founded and every range has a leader, now or before; 1 otherwise */
export async function runInit(
  config: ProcessConfig,
  request: InitRequest,
  output: Output,
): Promise<number> {
  const say = (line: string): void => output.out(`${line}\n`);
  const startedAt = performance.now();
  let transport: Transport | undefined;
  try {
    say(`Connecting to NATS at ${config.nats.join(', ')} ...`);
    const timeoutMs = request.timeoutMs;
    transport = await connectForCommand(config, 'flotilla-init', timeoutMs);
    say(`Looking for ${request.stores} stores of cluster "${config.cluster}" ...`);
    const clock = new SystemClock();
    const { clusterId, storeIds, ranges, founded } = await foundCluster({
      ...{ transport, clock, prng: osPrng(), stores: request.stores, ranges: request.ranges },
      timeoutMs: Math.max(1, timeoutMs - (performance.now() - startedAt)),
    });
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    const what = founded ? 'Founded' : 'Already founded:';
    const who = storeIds.map((id) => `s${id}`).join(', ');
    say(`${what} cluster ${toHex(clusterId)} on stores ${who}.`);
    say(`${ranges.length} ranges, all of them led (${seconds} s).`);
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    output.err(`flotilla: init is not done: ${error.message}\n`);
    return ExitCode.failure;
  } finally {
    await transport?.close();
  }
}

export interface FoundingParts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly logger?: Logger;
  readonly stores: number;
  readonly ranges?: number;
  readonly timeoutMs: number;
}

/** Router's founding with shard's first cut of the key space. @throws DbError UNAVAILABLE, INVALID_ARGUMENT */
export function foundCluster(parts: FoundingParts): Promise<BootstrapResult> {
  const { stores, ranges, ...rest } = parts;
  return bootstrapCluster({
    ...rest,
    expectedStores: stores,
    ranges: (storeIds) => initialRanges(storeIds, ranges),
  });
}
