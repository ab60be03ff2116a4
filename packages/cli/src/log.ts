/**
 * The program's log: pino, one JSON line per event on standard output (or pretty lines for people). Everything below
 * takes base's `Logger` and never imports pino.
 */
import type { Logger } from '@flotilla/base';
import { type DestinationStream, pino } from 'pino';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly pretty: boolean;
  /** In every line: which process speaks. */
  readonly name: string;
}

/** Writes synchronously, so that the line that says why a process ends is never lost. */
export async function createLog(options: LogOptions): Promise<Logger> {
  const destination = options.pretty
    ? await prettyDestination()
    : pino.destination({ fd: 1, sync: true });
  const log: Logger = pino(
    {
      level: options.level,
      base: { name: options.name, pid: process.pid },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error: pino.stdSerializers.err, cause: pino.stdSerializers.err },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return log;
}

/** Loaded only where it is wanted: most processes never are read by people directly. */
async function prettyDestination(): Promise<DestinationStream> {
  const { build } = await import('pino-pretty');
  return build({
    colorize: process.stdout.isTTY,
    sync: true,
    ignore: 'name,pid',
    messageKey: 'event',
  });
}
