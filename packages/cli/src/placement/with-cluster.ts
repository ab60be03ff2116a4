/** A command's connection, from its beginning to its end; failures of the cluster become a line and an exit code. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DbError, ExitCode } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { type ClusterConnection, connectToCluster } from '../cluster-connection.ts';
import type { ProcessConfig } from '../config/settings.ts';
import { explained, HopelessError, hopelessness } from '../no-answer.ts';
import type { Output } from '../output.ts';

/** Unit: ms. */
const connectTimeoutMs = 10_000;
/** After which it is said what is waited for, and looked whether it can come at all. Unit: ms. */
const patienceMs = 1500;

/** @param failed what did not happen, before the reason: "flotilla: s3 is not drained: …" */
export async function withCluster(
  config: ProcessConfig,
  options: { readonly timeoutMs: number; readonly failed: string; readonly output: Output },
  work: (router: Router) => Promise<void>,
): Promise<number> {
  const { timeoutMs, failed, output } = options;
  const ended = new AbortController();
  let connection: ClusterConnection | undefined;
  try {
    const connecting = connectToCluster(config, Math.min(timeoutMs, connectTimeoutMs));
    const where = config.nats.join(', ');
    const tell = (line: string): void => output.err(`flotilla: ${line}\n`);
    const notice = setTimeout(() => tell(`waiting for nats-server at ${where} ...`), patienceMs);
    try {
      connection = await connecting;
    } finally {
      clearTimeout(notice);
    }
    const { router } = connection;
    const doubt = sleep(patienceMs, undefined, { signal: ended.signal }).then(() =>
      hopelessness(router, config, tell),
    );
    doubt.catch(() => {}); // of the one that loses the race nobody hears
    const working = work(router);
    working.catch(() => {});
    await Promise.race([working, doubt]);
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    const reason =
      connection === undefined || error instanceof HopelessError
        ? error.message
        : await explained(error, connection.router, config);
    output.err(`flotilla: ${failed}: ${reason}\n`);
    return ExitCode.failure;
  } finally {
    ended.abort();
    await connection?.close();
  }
}
