/**
 * As much of etcd's API as the load needs (KV.Put, KV.Range and KV.Txn of etcdserverpb), over HTTP/2 without a gRPC
 * library, so that the client takes as little of the shared machine as can be. Calls go to the members in turn; a
 * connection that is lost is opened again by the next call. Sources: gRPC over HTTP/2 protocol, etcd's rpc.proto.
 */
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { KvClient } from './kv-client.ts';
import { bytesField, fieldsOf, integerField } from './protobuf-fields.ts';

/** Streams per connection stay well below what servers allow. */
const connectionsPerMember = 2;
/** The end of a range that has none. */
const noEnd = Buffer.from([0]);

/** @throws AggregateError if no member answers */
export async function connectEtcd(members: readonly string[]): Promise<KvClient> {
  const connections = members.flatMap((member) =>
    Array.from({ length: connectionsPerMember }, () => new Connection(`http://${member}`)),
  );
  // One will do: after a restart the members do not come back at the same moment.
  await Promise.any(connections.map((connection) => connection.session()));
  let next = connections.findIndex(({ open }) => open !== undefined);
  const call = async (path: string, message: Buffer, timeoutMs?: number): Promise<Buffer> => {
    const connection = connections[next++ % connections.length] as Connection;
    // Without a wait where there is none: this is the hot path.
    const session = connection.open ?? (await connection.session());
    return unary(session, { path: `/etcdserverpb.KV/${path}`, message, timeoutMs });
  };
  return {
    async put(key, value, timeoutMs) {
      await call('Put', Buffer.concat([bytesField(1, key), bytesField(2, value)]), timeoutMs);
    },
    async get(key) {
      return countEntries(await call('Range', bytesField(1, key))) > 0;
    },
    async version(key) {
      return modRevision(await call('Range', bytesField(1, key)));
    },
    async putIfVersion(key, value, version) {
      const put = Buffer.concat([bytesField(1, key), bytesField(2, value)]);
      // Compare: result EQUAL (0, left out), target MOD.
      const compare = [integerField(2, 2), bytesField(3, key), integerField(6, version)];
      const message = [
        bytesField(1, Buffer.concat(compare)),
        bytesField(2, bytesField(2, put)), // on success: RequestOp.request_put
      ];
      const answer = await call('Txn', Buffer.concat(message));
      for (const { number, integer } of fieldsOf(answer)) if (number === 2) return integer === 1;
      return false;
    },
    async scan(start, limit) {
      const message = [bytesField(1, start), bytesField(2, noEnd), integerField(3, limit)];
      return countEntries(await call('Range', Buffer.concat(message)));
    },
    async close() {
      await Promise.all(connections.map((connection) => connection.close()));
    },
  };
}

/** One HTTP/2 connection, opened again when it was lost. */
class Connection {
  private readonly url: string;
  private current: ClientHttp2Session | undefined;
  private opening: Promise<ClientHttp2Session> | undefined;

  constructor(url: string) {
    this.url = url;
  }

  /** The session, if it can be used. */
  get open(): ClientHttp2Session | undefined {
    const { current } = this;
    return current === undefined || current.closed || current.destroyed ? undefined : current;
  }

  async session(): Promise<ClientHttp2Session> {
    if (this.open !== undefined) return this.open;
    this.opening ??= new Promise<ClientHttp2Session>((resolve, reject) => {
      const session = connect(this.url);
      session.once('connect', () => {
        this.current = session;
        resolve(session);
      });
      // After the connection stands, its streams say what failed.
      session.on('error', reject);
      session.once('close', () => reject(new Error(`${this.url} closed the connection`)));
    }).finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  async close(): Promise<void> {
    const session = this.open;
    if (session !== undefined) await new Promise<void>((resolve) => session.close(resolve));
  }
}

interface Call {
  readonly path: string;
  readonly message: Buffer;
  readonly timeoutMs: number | undefined;
}

function unary(session: ClientHttp2Session, { path, message, timeoutMs }: Call): Promise<Buffer> {
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
    stream.on('close', () => {
      if (status === undefined) reject(new Error(`${path} was not answered`));
    });
    if (timeoutMs !== undefined)
      stream.setTimeout(timeoutMs, () => stream.close(constants.NGHTTP2_CANCEL));
    const frame = Buffer.allocUnsafe(5 + message.length);
    frame[0] = 0; // not compressed
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, 5);
    stream.end(frame);
  });
}

/** RangeResponse.kvs */
const entriesField = 2;
/** KeyValue.mod_revision */
const modRevisionField = 3;

function countEntries(rangeResponse: Buffer): number {
  let count = 0;
  for (const { number } of fieldsOf(rangeResponse)) if (number === entriesField) count++;
  return count;
}

function modRevision(rangeResponse: Buffer): number | undefined {
  for (const { number, bytes } of fieldsOf(rangeResponse)) {
    if (number !== entriesField) continue;
    for (const field of fieldsOf(bytes))
      if (field.number === modRevisionField) return field.integer;
  }
  return undefined;
}
