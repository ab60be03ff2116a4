/** Clients of the minimal cluster, in one process: each sends the next operation when it has the answer. */
import { connect } from '@nats-io/transport-node';
import { build } from 'hdr-histogram-js';
import { numbersIn, Outgoing } from './frames.ts';

export interface RequesterOrder {
  readonly servers: string;
  readonly operation: 'get' | 'put';
  readonly clients: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface RequesterResult {
  readonly operations: number;
  /** Unit: microseconds. */
  readonly p50: number;
  readonly p99: number;
}

const order = JSON.parse(process.argv[2] ?? '{}') as RequesterOrder;
const nats = await connect({ servers: order.servers });
const begunAt = new Float64Array(order.clients);
const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 600e6 });
const outgoing = new Outgoing();
let operations = 0;
let counting = false;

function begin(client: number): void {
  begunAt[client] = performance.now();
  if (outgoing.isEmpty)
    setImmediate(() => nats.publish(`floor.${order.operation}`, outgoing.take()));
  outgoing.add(client);
}

nats.subscribe('floor.answers', {
  callback: (_error, { data }) => {
    const now = performance.now();
    for (const client of numbersIn(data)) {
      if (counting) {
        operations++;
        histogram.recordValue(Math.max(1, Math.round((now - (begunAt[client] ?? now)) * 1000)));
      }
      begin(client);
    }
  },
});
await nats.flush();
for (let client = 0; client < order.clients; client++) begin(client);
setTimeout(() => {
  counting = true;
  process.send?.('counting');
  setTimeout(() => {
    const [p50, p99] = [50, 99].map((share) => histogram.getValueAtPercentile(share));
    process.send?.({ operations, p50, p99 });
    process.once('message', () => process.exit(0));
  }, order.seconds * 1000);
}, order.warmUpSeconds * 1000);
