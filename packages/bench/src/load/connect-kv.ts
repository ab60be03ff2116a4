/** A key-value client of any system that has one: the native one. */
import type { Endpoints } from '../systems/system.ts';
import { connectEtcd } from './etcd-client.ts';
import { connectFlotilla } from './flotilla-client.ts';
import type { KvClient } from './kv-client.ts';

const connectTimeoutMs = 10_000;

/** @throws Error if the system does not answer */
export async function connectKv(
  { etcd, flotilla }: Endpoints,
  timeoutMs: number = connectTimeoutMs,
): Promise<KvClient> {
  if (etcd !== undefined) return connectEtcd(etcd);
  if (flotilla !== undefined) return connectFlotilla({ ...flotilla, timeoutMs });
  throw new Error('nobody here speaks key-value');
}
