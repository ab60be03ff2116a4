/**
 * As much of etcd's API as the load needs (KV.Put and KV.Range of etcdserverpb), over HTTP/2 without a gRPC library, so
 * that the client takes as little of the shared machine as can be. Sources: gRPC over HTTP/2 protocol, etcd's rpc.proto.
 */
import { type ClientHttp2Session, connect } from 'node:http2';
import type { KvClient } from './kv-client.ts';

/** Streams per connection stay well below what servers allow. */
const connectionsPerMember = 2;

export async function connectEtcd(members: readonly string[]): Promise<KvClient> {
  const sessions = await Promise.all(
    members.flatMap((member) =>
      Array.from({ length: connectionsPerMember }, () => open(`http://${member}`)),
    ),
  );
  let next = 0;
  const call = (path: string, message: Buffer): Promise<Buffer> => {
    const session = sessions[next++ % sessions.length] as ClientHttp2Session;
    return unary(session, path, message);
  };
  return {
    async put(key, value) {
      await call('/etcdserverpb.KV/Put', Buffer.concat([field(1, key), field(2, value)]));
    },
    async get(key) {
      const answer = await call('/etcdserverpb.KV/Range', field(1, key));
      return hasField(answer, 2);
    },
    async close() {
      await Promise.all(
        sessions.map((session) => new Promise<void>((resolve) => session.close(resolve))),
      );
    },
  };
}

function open(url: string): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(url);
    session.once('connect', () => resolve(session));
    session.once('error', reject);
  });
}

function unary(session: ClientHttp2Session, path: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let status: unknown;
    stream.on('response', (headers) => {
      status = headers['grpc-status'];
    });
    stream.on('trailers', (trailers) => {
      status = trailers['grpc-status'];
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', reject);
    stream.on('end', () => {
      if (status === '0') resolve(Buffer.concat(chunks).subarray(5));
      else reject(new Error(`grpc-status ${String(status)} of ${path}`));
    });
    const frame = Buffer.allocUnsafe(5 + message.length);
    frame[0] = 0; // not compressed
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    stream.end(frame);
  });
}

/** A length-delimited field of a protobuf message. */
function field(number: number, bytes: Buffer): Buffer {
  const head: number[] = [(number << 3) | 2];
  let length = bytes.length;
  for (; length > 0x7f; length >>>= 7) head.push((length & 0x7f) | 0x80);
  head.push(length);
  return Buffer.concat([Buffer.from(head), bytes]);
}

/** True if a message has a length-delimited field of this number at its top. */
function hasField(message: Buffer, number: number): boolean {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    if (tag >>> 3 === number) return true;
    if ((tag & 7) === 2) {
      const length = varint();
      at += length;
    } else varint();
  }
  return false;
}
