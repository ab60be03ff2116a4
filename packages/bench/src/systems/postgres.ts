/**
 * PostgreSQL: a primary and two streaming standbys on loopback, `ANY 1` of which must have a commit on disk before it is
 * answered. Everything else as it comes, fsync included. Servers refuse to run as root: there they run as `postgres`.
 */
import { execFile, execFileSync } from 'node:child_process';
import { chmod, chown } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { accepts, Child, Children, freePorts } from './child.ts';
import type { StartOptions, System } from './system.ts';

const run = promisify(execFile);
/** Where Debian's package has the programs that are not on the path. */
const programs = '/usr/lib/postgresql/15/bin';
const standbys = ['s1', 's2'];

interface User {
  readonly uid: number;
  readonly gid: number;
}

function serverUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string): number =>
    Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

export async function startPostgres({ directory }: StartOptions): Promise<System> {
  const user = serverUser();
  if (user !== undefined) {
    await chown(directory, user.uid, user.gid);
    // The way there is the caller's, and closed to everybody else.
    await chmod(dirname(directory), 0o711);
  }
  const names = ['primary', ...standbys];
  const ports = await freePorts(names.length);
  const primaryPort = ports[0] ?? 0;
  const home = (name: string): string => join(directory, name);
  const tool = (name: string, args: readonly string[]): Promise<unknown> =>
    run(join(programs, name), [...args], { cwd: directory, timeout: 120_000, ...user });
  const children = new Children();
  const serve = async (name: string, port: number): Promise<void> => {
    const settings = {
      port,
      cluster_name: name,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: 200,
      shared_buffers: '256MB',
    };
    const child = new Child({
      command: join(programs, 'postgres'),
      args: [
        ...['-D', home(name)],
        ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
      ],
      logFile: join(directory, `${name}.log`),
      ...(user === undefined ? {} : { user }),
    });
    children.add(name, child);
    await child.until(() => accepts(port), 30_000);
  };
  const url = `postgres://postgres@127.0.0.1:${primaryPort}/postgres`;
  const ask = async (sql: string): Promise<string> => {
    const { stdout } = await run('psql', ['-XAtq', '-d', url, '-c', sql], { timeout: 60_000 });
    return stdout.trim();
  };
  const stop = (): Promise<void> => children.stop('SIGINT', 10_000);
  try {
    await tool('initdb', [
      '-D',
      home('primary'),
      '-U',
      'postgres',
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--no-locale',
    ]);
    await serve('primary', primaryPort);
    await until(async () => (await ask('SELECT NOT pg_is_in_recovery()')) === 't');
    for (const [i, name] of standbys.entries()) {
      const from = `host=127.0.0.1 port=${primaryPort} user=postgres`;
      await tool('pg_basebackup', [
        '-D',
        home(name),
        '-d',
        from,
        '-R',
        '-X',
        'stream',
        '-c',
        'fast',
      ]);
      await serve(name, ports[i + 1] ?? 0);
    }
    const wanted = `ANY 1 (${standbys.join(', ')})`;
    await ask(`ALTER SYSTEM SET synchronous_standby_names = '${wanted}'`);
    await ask('SELECT pg_reload_conf()');
    const inStep = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'";
    await until(async () => (await ask(inStep)) === String(standbys.length));
  } catch (error) {
    await stop();
    throw error;
  }
  return children.asSystem('postgres', { postgres: url }, stop);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    if (await holds().catch(() => false)) return;
    if (Date.now() > deadline) throw new Error('postgres does not serve as it was set up');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
