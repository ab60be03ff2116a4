/** `flotilla status`: the cluster as its stores describe it, once or again and again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DbError, ExitCode } from '@flotilla/base';
import picocolors from 'picocolors';
import { type ClusterConnection, connectToCluster } from '../cluster-connection.ts';
import type { ProcessConfig } from '../config/settings.ts';
import { hopeless } from '../no-answer.ts';
import type { Output } from '../output.ts';
import { gatherStatus } from './cluster-status.ts';
import { type Paint, plainPaint, statusText } from './status-table.ts';

const watchIntervalMs = 2_000;
const clearScreen = '\u001b[2J\u001b[H';

export interface StatusRequest {
  readonly json: boolean;
  readonly watch: boolean;
  /** However many there are. */
  readonly allRanges: boolean;
  /** How long nats-server may take to answer, and then each store. */
  readonly timeoutMs: number;
}

/** @returns 1 if no store answered, so that scripts can tell */
export async function runStatus(
  config: ProcessConfig,
  request: StatusRequest,
  output: Output,
): Promise<number> {
  let connection: ClusterConnection;
  try {
    connection = await connectToCluster(config, request.timeoutMs);
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    output.err(`flotilla: ${error.message}\n`);
    return ExitCode.failure;
  }
  try {
    const paint = process.stdout.isTTY ? colours : plainPaint;
    for (;;) {
      const status = await gatherStatus(connection.router, request.timeoutMs);
      const text = request.json
        ? `${JSON.stringify(status)}\n`
        : statusText(status, paint, request);
      output.out(request.watch && !request.json ? `${clearScreen}${text}` : text);
      const answers = status.stores.some((store) => store.answers);
      if (status.stores.length === 0) output.err(`flotilla: ${hopeless([], config)}\n`);
      if (!request.watch) return answers ? ExitCode.ok : ExitCode.failure;
      await sleep(watchIntervalMs);
    }
  } finally {
    await connection.close();
  }
}

export const colours: Paint = {
  good: picocolors.green,
  bad: picocolors.red,
  head: picocolors.dim,
};
