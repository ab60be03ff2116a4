/**
 * The process that makes the load: apart from the one that reports, so that its CPU is its own. Reads one JSON job from
 * its argument, prints one JSON result.
 */
import type { Endpoints } from '../systems/system.ts';
import { fill, type KvJob, type LoadResult, runClosedLoop } from './closed-loop.ts';
import { connectEtcd } from './etcd-client.ts';
import { connectFlotilla } from './flotilla-client.ts';
import type { KvClient } from './kv-client.ts';

export interface LoadOrder {
  readonly endpoints: Endpoints;
  readonly job: KvJob;
  /** Only write every key once. */
  readonly fillOnly: boolean;
}

const fillParallel = 128;

async function clientFor({ etcd, flotilla }: Endpoints): Promise<KvClient> {
  if (etcd !== undefined) return connectEtcd(etcd);
  if (flotilla !== undefined) return connectFlotilla(flotilla);
  throw new Error('nobody here speaks key-value');
}

const order = JSON.parse(process.argv[2] ?? '{}') as LoadOrder;
const client = await clientFor(order.endpoints);
let result: LoadResult | undefined;
if (order.fillOnly) await fill(client, order.job, fillParallel);
else result = await runClosedLoop(client, order.job);
await client.close();
process.stdout.write(JSON.stringify(result ?? {}));
