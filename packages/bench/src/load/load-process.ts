/**
 * The process that makes the load: apart from the one that reports, so that its CPU is its own. Reads one JSON order from
 * its argument, prints one JSON result.
 */
import { once } from 'node:events';
import type { Endpoints } from '../systems/system.ts';
import { connectKv } from './connect-kv.ts';
import type { KvJob } from './kv-job.ts';
import { fill, operationsOf } from './operations.ts';
import { runLoad } from './run-load.ts';
import { measureWriteGap } from './write-gap.ts';

export type LoadOrder =
  | { readonly kind: 'run'; readonly endpoints: Endpoints; readonly job: KvJob }
  /** Only write every key once. */
  | { readonly kind: 'fill'; readonly endpoints: Endpoints; readonly job: KvJob }
  /** Until standard input ends; a line on standard error says when all writers write. */
  | { readonly kind: 'gap'; readonly endpoints: Endpoints };

const fillParallel = 128;

const order = JSON.parse(process.argv[2] ?? '{}') as LoadOrder;
const client = await connectKv(order.endpoints);
let result: unknown = {};
switch (order.kind) {
  case 'run':
    result = await runLoad(operationsOf(client, order.job), order.job);
    break;
  case 'fill':
    await fill(client, order.job, fillParallel);
    break;
  case 'gap': {
    const told = once(process.stdin.resume(), 'end');
    result = await measureWriteGap(client, () => process.stderr.write('steady\n'), told);
    break;
  }
}
await client.close();
process.stdout.write(JSON.stringify(result));
