/** etcd, three members on loopback, every write synced as it does by default. */
import { join } from 'node:path';
import { accepts, Child, Children, freePorts } from './child.ts';
import type { StartOptions, System } from './system.ts';

const members = 3;

export async function startEtcd({ directory }: StartOptions): Promise<System> {
  const ports = await freePorts(members * 2);
  const clientPort = (i: number): number => ports[i] ?? 0;
  const peerUrl = (i: number): string => `http://127.0.0.1:${ports[members + i]}`;
  const cluster = Array.from({ length: members }, (_, i) => `m${i}=${peerUrl(i)}`).join(',');
  const children = new Children();
  const stop = (): Promise<void> => children.stop('SIGTERM', 5_000);
  const names = Array.from({ length: members }, (_, i) => `etcd-${i + 1}`);
  const started = names.map((name, i) => {
    const clientUrl = `http://127.0.0.1:${clientPort(i)}`;
    const child = new Child({
      command: 'etcd',
      args: [
        ...['--name', `m${i}`, '--data-dir', join(directory, `m${i}`)],
        ...['--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
        ...['--listen-peer-urls', peerUrl(i), '--initial-advertise-peer-urls', peerUrl(i)],
        ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
        ...['--quota-backend-bytes', String(8 * 1024 ** 3), '--logger', 'zap'],
      ],
      logFile: join(directory, `m${i}.log`),
    });
    children.add(name, child);
    return child;
  });
  try {
    await Promise.all(
      started.map((child, i) => child.until(() => isHealthy(clientPort(i)), 60_000)),
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const endpoints = { etcd: names.map((_, i) => `127.0.0.1:${clientPort(i)}`) };
  return children.asSystem('etcd', endpoints, stop);
}

async function isHealthy(port: number): Promise<boolean> {
  if (!(await accepts(port))) return false;
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/health`);
    return answer.ok && (await answer.text()).includes('true');
  } catch {
    return false;
  }
}
