/** `flotilla sql`: psql with the gateway's address filled in. Exits with psql's own code. */
import { spawn } from 'node:child_process';
import { ExitCode } from '@flotilla/base';
import type { ProcessConfig } from './config/settings.ts';
import { UsageError } from './usage-error.ts';

/** @param args for psql, as they stand; they come last and so win over ours */
export function runSql(config: ProcessConfig, args: readonly string[]): Promise<number> {
  const { host, port } = config.listen;
  const psql = spawn('psql', ['-h', host, '-p', String(port), ...args], {
    stdio: 'inherit',
    env: { PGUSER: 'flotilla', PGDATABASE: 'flotilla', ...process.env },
  });
  const ignore = (): void => {}; // Ctrl-C is psql's: it cancels the statement
  process.on('SIGINT', ignore);
  return new Promise((resolve, reject) => {
    psql.once('error', (error) => {
      const missing = 'code' in error && error.code === 'ENOENT';
      reject(
        new UsageError(
          missing
            ? 'psql is not on PATH; install the PostgreSQL client (Debian: apt-get install postgresql-client)'
            : `psql could not be started: ${error.message}`,
        ),
      );
    });
    psql.once('exit', (code) => {
      process.removeListener('SIGINT', ignore);
      resolve(code ?? ExitCode.failure);
    });
  });
}
