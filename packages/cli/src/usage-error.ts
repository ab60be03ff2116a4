/**
 * The caller of the command line asked for something that cannot be: wrong flags, environment, config file or
 * surroundings. The text names what was given and what to do; the program prints it and exits with 64.
 */
import { ExitCode } from '@flotilla/base';

export class UsageError extends Error {
  readonly exitCode: ExitCode = ExitCode.usage;

  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
