/**
 * The program's log: pino, one JSON line per event on standard output (or pretty lines for people). Everything below
 * takes base's `Logger` and never imports pino.
 */
import type { Logger } from '@flotilla/base';
import { pino } from 'pino';
import { build as prettyStream } from 'pino-pretty';

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly pretty: boolean;
  /** In every line: which process speaks. */
  readonly name: string;
}

/** Writes synchronously, so that the line that says why a process ends is never lost. */
export function createLog(options: LogOptions): Logger {
  const destination = options.pretty
    ? prettyStream({ colorize: process.stdout.isTTY, sync: true, ignore: 'hostname' })
    : pino.destination({ fd: 1, sync: true });
  return pino(
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
}
