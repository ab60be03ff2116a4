/** Installs what a peer needs from the system's package manager, if it is missing, and says so. */
import { execFileSync, spawnSync } from 'node:child_process';

/** @param packages by the program that proves that each is there */
export function ensureInstalled(packages: Readonly<Record<string, string>>): void {
  const missing = Object.entries(packages)
    .filter(([program]) => spawnSync('which', [program]).status !== 0)
    .map(([, name]) => name);
  if (missing.length === 0) return;
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  process.stderr.write(`installing ${missing.join(', ')}: ${install.join(' ')}\n`);
  const sudo = process.getuid?.() === 0 ? [] : ['sudo'];
  const [command = '', ...args] = [...sudo, ...install];
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
