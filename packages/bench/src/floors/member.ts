/**
 * One process of the minimal cluster. A leader takes frames of operations; a get is answered from LevelDB; a put goes to its
 * log and to two followers at once, and is answered when it is on two disks and in LevelDB. No terms, no leases, no
 * checks: less than this cannot be done with these libraries.
 */
import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { ClassicLevel } from 'classic-level';
import { numbersIn, Outgoing, operationBytes } from './frames.ts';
import { Log } from './log.ts';

export interface MemberOrder {
  readonly role: 'leader' | 'follower';
  readonly servers: string;
  readonly directory: string;
  readonly index: number;
}

const quorum = 2;
const order = JSON.parse(process.argv[2] ?? '{}') as MemberOrder;
const nats = await connect({ servers: order.servers });
const log = await Log.open(join(order.directory, `log-${order.index}`));
const level = new ClassicLevel<Buffer, Buffer>(join(order.directory, `level-${order.index}`), {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
});
await level.open();

const keyBytes = 64;
const keyAt = (frame: Uint8Array, at: number): Buffer =>
  Buffer.from(frame.buffer, frame.byteOffset + at + 4, keyBytes);
const valueAt = (frame: Uint8Array, at: number): Buffer =>
  Buffer.from(frame.buffer, frame.byteOffset + at + 4 + keyBytes, operationBytes - 4 - keyBytes);

async function apply(frame: Uint8Array): Promise<void> {
  const batch = level.batch();
  for (let at = 0; at < frame.length; at += operationBytes)
    batch.put(keyAt(frame, at), valueAt(frame, at));
  await batch.write();
}

/** What one turn of the event loop has brought is one batch. */
function perTurn(work: (frame: Uint8Array) => void): (frame: Uint8Array) => void {
  const incoming = new Outgoing();
  return (frame) => {
    if (incoming.isEmpty) setImmediate(() => work(incoming.take()));
    incoming.addAll(frame);
  };
}

function lead(): void {
  let batches = 0;
  const missing = new Map<number, { acknowledgements: number; frame: Uint8Array }>();
  const acknowledge = (batch: number): void => {
    const entry = missing.get(batch);
    if (entry === undefined || --entry.acknowledgements > 0) return;
    missing.delete(batch);
    void apply(entry.frame).then(() => nats.publish('floor.answers', entry.frame));
  };
  const put = perTurn((frame) => {
    const batch = ++batches;
    missing.set(batch, { acknowledgements: quorum, frame });
    const entry = Buffer.allocUnsafe(operationBytes + frame.length);
    entry.writeUInt32LE(batch, 0);
    entry.set(frame, operationBytes);
    nats.publish('floor.entries', entry);
    log.append(frame, () => acknowledge(batch));
  });
  const get = perTurn((frame) => {
    const keys: Buffer[] = [];
    for (let at = 0; at < frame.length; at += operationBytes) keys.push(keyAt(frame, at));
    void level.getMany(keys).then(() => nats.publish('floor.answers', frame));
  });
  nats.subscribe('floor.put', { callback: (_error, { data }) => put(data) });
  nats.subscribe('floor.get', { callback: (_error, { data }) => get(data) });
  nats.subscribe('floor.acknowledged', {
    callback: (_error, { data }) => {
      for (const batch of numbersIn(data)) acknowledge(batch);
    },
  });
}

function follow(): void {
  nats.subscribe('floor.entries', {
    callback: (_error, { data }) => {
      const acknowledgement = Buffer.from(data.subarray(0, operationBytes));
      const frame = data.slice(operationBytes);
      log.append(frame, () => {
        nats.publish('floor.acknowledged', acknowledgement);
        void apply(frame);
      });
    },
  });
}

if (order.role === 'leader') lead();
else follow();
await nats.flush();
process.send?.('ready');
process.once('message', () => process.exit(0));
