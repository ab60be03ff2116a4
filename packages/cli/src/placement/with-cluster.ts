/** A command's connection, from its beginning to its end; failures of the cluster become a line and an exit code. */
import { DbError, ExitCode } from '@flotilla/base';
import type { Router } from '@flotilla/router';
import { type ClusterConnection, connectToCluster } from '../cluster-connection.ts';
import type { ProcessConfig } from '../config/settings.ts';
import type { Output } from '../output.ts';

/** Unit: ms. */
const connectTimeoutMs = 10_000;

/** @param failed what did not happen, before the reason: "flotilla: s3 is not drained: …" */
export async function withCluster(
  config: ProcessConfig,
  options: { readonly timeoutMs: number; readonly failed: string; readonly output: Output },
  work: (router: Router) => Promise<void>,
): Promise<number> {
  let connection: ClusterConnection | undefined;
  try {
    connection = await connectToCluster(config, Math.min(options.timeoutMs, connectTimeoutMs));
    await work(connection.router);
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof DbError)) throw error;
    options.output.err(`flotilla: ${options.failed}: ${error.message}\n`);
    return ExitCode.failure;
  } finally {
    await connection?.close();
  }
}
