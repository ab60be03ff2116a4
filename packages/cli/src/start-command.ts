/**
 * `flotilla start`: one process from its start to its exit code. Says when it is ready, ends cleanly on SIGTERM or
 * SIGINT within a hard bound, and turns everything it must not survive into one log line and an exit code.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { DbError, ExitCode, FatalError, InvariantViolation, type Logger } from '@flotilla/base';
import type { ProcessConfig } from './config/settings.ts';
import { createLog } from './log.ts';
import type { RunningProcess } from './process-parts.ts';
import { startProcess } from './start-process.ts';
import { UsageError } from './usage-error.ts';
import { version } from './version.ts';

/** From the first signal to the end, whatever happens. Unit: ms. */
const stopBoundMs = 5_000;

/** Runs until a signal. @returns the exit code of a clean end; a fatal error ends the process in here. */
export async function runStart(config: ProcessConfig): Promise<number> {
  const name = config.storeId === undefined ? config.roles.join('+') : `store-${config.storeId}`;
  const logger = await createLog({ level: config.logLevel, pretty: config.logPretty, name });
  return runUntilSignal(config, logger, (signal) =>
    startProcess(config, { logger, signal, onFatal: (error) => die(logger, error) }),
  );
}

/** The hidden command behind the demo without a nats-server. */
export async function runInProcessCluster(config: ProcessConfig, stores: number): Promise<number> {
  const logger = await createLog({
    level: config.logLevel,
    pretty: config.logPretty,
    name: 'cluster',
  });
  return runUntilSignal(config, logger, async (signal) => {
    const { startInProcessCluster } = await import('./in-process-cluster.ts');
    return startInProcessCluster(config, {
      stores,
      logger,
      signal,
      onFatal: (error) => die(logger, error),
    });
  });
}

async function runUntilSignal(
  config: ProcessConfig,
  logger: Logger,
  start: (signal: AbortSignal) => Promise<RunningProcess>,
): Promise<number> {
  process.on('uncaughtException', (error) => die(logger, error));
  process.on('unhandledRejection', (reason) => die(logger, reason));
  const stopping = catchSignals(logger);
  logger.info(
    { version, roles: config.roles, cluster: config.cluster, node: process.versions.node },
    'starting',
  );
  let running: RunningProcess;
  try {
    running = await start(stopping.signal);
  } catch (error) {
    if (!stopping.signal.aborted) die(logger, error);
    logger.info({}, 'stopped'); // before it had begun to serve
    process.exit(ExitCode.ok);
  }
  const startMs = Math.round(performance.now());
  announceReady(config, running);
  logger.info({ storeId: running.storeId, gateway: running.gateway, startMs }, 'ready');
  await stopping.promise;
  await running.stop();
  logger.info({}, 'stopped');
  process.exit(ExitCode.ok); // nothing that is still open may hold the process
}

interface Stopping {
  readonly signal: AbortSignal;
  readonly promise: Promise<void>;
}

/** The first signal asks for a clean end within the bound; the second one, and the bound, do not ask. */
function catchSignals(logger: Logger): Stopping {
  const controller = new AbortController();
  const promise = new Promise<void>((resolve) => {
    const onSignal = (name: NodeJS.Signals, number: number): void => {
      if (controller.signal.aborted) {
        logger.warn({ signal: name }, 'second_signal_leaving_at_once');
        process.exit(128 + number);
      }
      logger.info({ signal: name, stopBoundMs }, 'stopping');
      controller.abort();
      setTimeout(() => {
        logger.error({ stopBoundMs }, 'not_stopped_in_time_leaving');
        process.exit(ExitCode.failure);
      }, stopBoundMs - 200).unref();
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
  return { signal: controller.signal, promise };
}

/** Whole or not at all: whoever waits for the file never reads half of it. */
function announceReady(config: ProcessConfig, running: RunningProcess): void {
  if (config.readyFile === undefined) return;
  const ready = {
    pid: process.pid,
    storeId: running.storeId,
    ports: {
      ...(running.gateway === undefined ? {} : { gateway: running.gateway.port }),
      ...(running.http === undefined ? {} : { http: running.http.port }),
    },
  };
  const temporary = `${config.readyFile}.${process.pid}`;
  writeFileSync(temporary, `${JSON.stringify(ready)}\n`);
  renameSync(temporary, config.readyFile);
}

/** One line that says why, then the exit code that says what to do (docs/operations.md). */
function die(logger: Logger, error: unknown): never {
  const { exitCode, facts, event } = explain(error);
  // Of a mistake in what was given the message says all; where in our code it was noticed helps nobody.
  const cause = exitCode === ExitCode.usage ? {} : { error };
  logger.error({ exitCode, ...facts, ...cause }, event);
  process.exit(exitCode);
}

interface Explanation {
  readonly exitCode: ExitCode;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly event: string;
}

/** Exported for tests. */
export function explain(error: unknown): Explanation {
  if (error instanceof FatalError) {
    return { exitCode: error.exitCode, facts: error.facts, event: `fatal: ${error.message}` };
  }
  if (error instanceof InvariantViolation) {
    const { facts, message } = error;
    return { exitCode: ExitCode.invariantViolation, facts, event: message };
  }
  if (error instanceof UsageError) {
    return { exitCode: ExitCode.usage, facts: {}, event: error.message };
  }
  if (error instanceof DbError) {
    const { code, message } = error;
    const exitCode = code === 'INVALID_ARGUMENT' ? ExitCode.usage : ExitCode.failure;
    return { exitCode, facts: { code }, event: message };
  }
  // An error that nobody expected is a bug of ours as much as a broken invariant is.
  const event = `unexpected error: ${String(error)}`;
  return { exitCode: ExitCode.invariantViolation, facts: {}, event };
}
