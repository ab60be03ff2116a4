/** Gets what a client needs and this machine lacks: from Debian where we may, else says what to install; from npm into a directory. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const aptTimeoutMs = 300_000;

/**
 * @param {string} file whose presence shows that the package is there
 * @returns {string | undefined} why it is not there now
 */
export function needDebian(file, name) {
  if (existsSync(file)) return undefined;
  const command = `apt-get install -y --no-install-recommends ${name}`;
  if (process.getuid() !== 0 || !existsSync('/usr/bin/apt-get'))
    return `not installed (${command})`;
  process.stderr.write(`installing ${name} from Debian\n`);
  const [program, ...args] = command.split(' ');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const result = spawnSync(program, args, { env, stdio: 'ignore', timeout: aptTimeoutMs });
  return result.status === 0 && existsSync(file) ? undefined : `could not be installed: ${command}`;
}

/** Puts packages into `scratch`/node_modules. Scripts of packages do not run. */
export function installNpm(scratch, names) {
  process.stderr.write(`installing from npm: ${names.join(' ')}\n`);
  execFileSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', scratch, ...names],
    { stdio: 'ignore', timeout: aptTimeoutMs },
  );
}
