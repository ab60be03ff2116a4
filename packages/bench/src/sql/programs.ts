/** Running the programs that speak to SQL servers: psql, pgbench, sysbench. */
import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import type { System } from '../systems/system.ts';

export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** @throws Error if it cannot be started */
export function ended(
  command: string,
  args: readonly string[],
  input: string | Iterable<string> = '',
): Promise<Ended> {
  // The level at which increments of one row make sense, and the one that PostgreSQL has anyway.
  const env = { ...process.env, PGOPTIONS: '-c default_transaction_isolation=read\\ committed' };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let output = '';
    let errors = '';
    child.stdout.on('data', (text) => {
      output += String(text);
    });
    child.stderr.on('data', (text) => {
      errors = `${errors}${String(text)}`.slice(-100_000);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, output, errors }));
    // A broken pipe says less than the program's own last words.
    child.stdin.on('error', () => undefined);
    Readable.from(typeof input === 'string' ? [input] : input).pipe(child.stdin);
  });
}

/** @returns its standard output; throws with what it said if it fails */
export async function run(
  command: string,
  args: readonly string[],
  input: string | Iterable<string> = '',
): Promise<string> {
  const { code, output, errors } = await ended(command, args, input);
  // sysbench says what was wrong on its standard output.
  if (code !== 0)
    throw new Error(`${command} ended with ${code}:\n${errors}${output.slice(-2000)}`);
  return output;
}

/** Runs statements; the first that fails ends it. @returns rows, values separated by | */
export function psql(url: string, input: string | Iterable<string>): Promise<string> {
  return run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', url], input);
}

export function sqlUrl({ name, endpoints }: System): string {
  const { postgres } = endpoints;
  if (postgres === undefined) throw new Error(`${name} does not speak PostgreSQL's protocol`);
  return postgres;
}
