/** The shape of a logger: pino's, so that the composition root hands one in and nothing below imports it. */
export interface Logger {
  debug(facts: object, event: string): void;
  info(facts: object, event: string): void;
  warn(facts: object, event: string): void;
  error(facts: object, event: string): void;
  child(facts: Record<string, unknown>): Logger;
}

/** Drops everything. The default where no logger is handed in. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
