/**
 * What every client's checks are given: the cluster's address, a way to run a program against it, and a table of results. A check
 * fails by throwing; nothing is retried and nothing that is installed is left out.
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The longest that one program may take. A minute is what pgbench's load of 100,000 rows needs on a small machine. */
const programTimeoutMs = 240_000;

/** The longest that one check of a client in this process may take. */
const checkTimeoutMs = 90_000;

async function within(milliseconds, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`no answer within ${milliseconds} ms`)),
      milliseconds,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class World {
  /** @param {URL} url of a gateway; @param {string} scratch a directory for what is installed and written */
  constructor(url, scratch) {
    this.scratch = scratch;
    this.where = {
      host: url.hostname,
      port: Number(url.port),
      user: 'postgres',
      database: 'flotilla',
    };
    this.env = {
      ...process.env,
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: 'postgres',
      PGDATABASE: 'flotilla',
      PGCONNECT_TIMEOUT: '10',
    };
    this.load = createRequire(join(scratch, 'index.js'));
    this.rows = [];
  }

  note(client, what, result) {
    this.rows.push([client, what, result]);
    process.stderr.write(`${client}: ${what}: ${result}\n`);
  }

  /** Runs one check. What it throws is what the table says. */
  async check(client, what, work) {
    try {
      this.note(client, what, (await within(checkTimeoutMs, work())) ?? 'ok');
    } catch (error) {
      const text = `${error.code ?? ''} ${error.message ?? error}`.trim();
      this.note(client, what, `FAILED: ${text.replaceAll(/\s*\n\s*/g, ' | ').slice(0, 400)}`);
    }
  }

  /**
   * Runs a program to its end and gives what it printed. Throws when it fails or speaks of an error.
   * @param options.timeoutMs the longest that it may take
   */
  run(program, args, { input, env = {}, encoding = 'utf8', timeoutMs = programTimeoutMs } = {}) {
    const result = spawnSync(program, args, {
      env: { ...this.env, ...env },
      input,
      encoding,
      timeout: timeoutMs,
      maxBuffer: 64 * 1024 * 1024,
    });
    const said = `${result.stderr}\n${result.stdout}`;
    const error = said.split('\n').find((line) => /\b(ERROR|FATAL|PANIC|error):/.test(line));
    if (result.status !== 0 || error !== undefined)
      throw new Error(
        error ??
          `${program} ended with ${result.status ?? result.signal ?? result.error}: ${result.stderr.slice(-300)}`,
      );
    return result.stdout;
  }

  psql(...commands) {
    return this.run('psql', ['-XAtq', ...commands.flatMap((one) => ['-c', one])]);
  }

  /** Runs a program that prints one line of JSON per check: `{"what": …, "failed": …}`. */
  async checksOf(client, program, args) {
    const before = this.rows.length;
    const result = spawnSync(program, args, {
      env: this.env,
      encoding: 'utf8',
      timeout: programTimeoutMs,
    });
    for (const line of result.stdout.split('\n')) {
      if (!line.startsWith('{')) continue;
      const { what, failed } = JSON.parse(line);
      this.note(client, what, failed === undefined ? 'ok' : `FAILED: ${failed}`);
    }
    if (result.status !== 0 || this.rows.length === before)
      this.note(
        client,
        'to its end',
        `FAILED: ${result.status ?? result.signal}: ${result.stderr.trim().split('\n').slice(-3).join(' | ')}`,
      );
  }
}

export function expectEqual(found, wanted) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, not ${b}`);
}

/** What a promise is refused with. Throws when it is not refused. */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('nothing was refused');
}

export function installed(program) {
  return spawnSync('which', [program]).status === 0;
}
