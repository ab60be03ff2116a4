/** A PostgreSQL client made of bytes: builds messages, valid or not, and cuts up what comes back. For tests. */
import { connect, type Socket } from 'node:net';

export interface BackendMessage {
  readonly type: string;
  readonly body: Buffer;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function cString(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

/** A message with a type byte. `length` overrides the true length field. */
export function message(type: string, body: Uint8Array = Buffer.alloc(0), length?: number): Buffer {
  return Buffer.concat([Buffer.from(type), int32(length ?? body.length + 4), body]);
}

export function startup(
  parameters: Readonly<Record<string, string>> = { user: 'alice' },
  version: number = 0x0003_0000,
): Buffer {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [
    cString(name),
    cString(value),
  ]);
  const body = Buffer.concat([int32(version), ...pairs, Buffer.from([0])]);
  return Buffer.concat([int32(body.length + 4), body]);
}

/** A packet of the time before messages have types: SSLRequest, GSSENCRequest, CancelRequest. */
export function request(code: number, ...rest: Buffer[]): Buffer {
  const body = Buffer.concat([int32(code), ...rest]);
  return Buffer.concat([int32(body.length + 4), body]);
}

export const sslRequest: Buffer = request(80877103);
export const gssEncRequest: Buffer = request(80877104);

export function cancelRequest(processId: number, secret: Buffer): Buffer {
  return request(80877102, int32(processId), secret);
}

export function query(text: string): Buffer {
  return message('Q', cString(text));
}

export function parse(text: string, name: string = '', types: readonly number[] = []): Buffer {
  return message(
    'P',
    Buffer.concat([cString(name), cString(text), int16(types.length), ...types.map(int32)]),
  );
}

export interface BindOptions {
  readonly portal?: string;
  readonly statement?: string;
  readonly formats?: readonly number[];
  readonly values?: readonly (Uint8Array | string | null)[];
  readonly resultFormats?: readonly number[];
}

export function bind(options: BindOptions = {}): Buffer {
  const values = (options.values ?? []).flatMap((value) => {
    if (value === null) return [int32(-1)];
    const bytes = Buffer.from(value as string);
    return [int32(bytes.length), bytes];
  });
  return message(
    'B',
    Buffer.concat([
      cString(options.portal ?? ''),
      cString(options.statement ?? ''),
      int16(options.formats?.length ?? 0),
      ...(options.formats ?? []).map(int16),
      int16(options.values?.length ?? 0),
      ...values,
      int16(options.resultFormats?.length ?? 0),
      ...(options.resultFormats ?? []).map(int16),
    ]),
  );
}

export function describe(kind: 'S' | 'P', name: string = ''): Buffer {
  return message('D', Buffer.concat([Buffer.from(kind), cString(name)]));
}

export function close(kind: 'S' | 'P', name: string = ''): Buffer {
  return message('C', Buffer.concat([Buffer.from(kind), cString(name)]));
}

export function execute(rowsMax: number = 0, portal: string = ''): Buffer {
  return message('E', Buffer.concat([cString(portal), int32(rowsMax)]));
}

export const sync: Buffer = message('S');
export const flush: Buffer = message('H');
export const terminate: Buffer = message('X');

/** The fields of an ErrorResponse or NoticeResponse, by letter. */
export function fields(body: Buffer): Record<string, string> {
  const result: Record<string, string> = {};
  for (const field of body.toString('utf8').split('\0')) {
    if (field !== '') result[field.charAt(0)] = field.slice(1);
  }
  return result;
}

/** The values of a DataRow, as text. */
export function values(body: Buffer): (string | null)[] {
  const result: (string | null)[] = [];
  let at = 2;
  for (let left = body.readUInt16BE(0); left > 0; left--) {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) {
      result.push(null);
    } else {
      result.push(body.toString('utf8', at, at + length));
      at += length;
    }
  }
  return result;
}

export class RawClient {
  readonly socket: Socket;
  /** Everything received that has not been read as messages. */
  private held: Buffer = Buffer.alloc(0);
  private readonly inbox: BackendMessage[] = [];
  private watchers: (() => void)[] = [];
  /** No type byte and length yet: the answer to an encryption request. */
  private bare = false;
  received = 0;
  ended = false;
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length;
      this.held = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
      this.cut();
      this.wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
      this.closed = true;
      this.wake();
    });
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  /** Connects, starts up and waits until it may ask. Returns what the server said. */
  static async ready(
    port: number,
    parameters?: Readonly<Record<string, string>>,
  ): Promise<{ client: RawClient; greeting: BackendMessage[] }> {
    const client = await RawClient.connect(port);
    client.send(startup(parameters));
    return { client, greeting: await client.untilReady() };
  }

  send(...parts: Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** One byte at a time, each in a segment of its own where the kernel lets it. */
  async sendSlowly(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at++) {
      await new Promise<void>((resolve) => {
        this.socket.write(bytes.subarray(at, at + 1), () => setImmediate(resolve));
      });
    }
  }

  /** The one byte that answers an encryption request, or '' if the server closed. */
  async answer(): Promise<string> {
    this.bare = true;
    await this.until(() => this.held.length >= 1 || this.ended);
    const byte = this.held.toString('latin1', 0, 1);
    this.held = this.held.subarray(1);
    this.bare = false;
    return byte;
  }

  /** The next message; undefined when the server has closed. */
  async next(): Promise<BackendMessage | undefined> {
    await this.until(() => this.inbox.length > 0 || this.ended);
    return this.inbox.shift();
  }

  /** Messages up to and including ReadyForQuery. Throws if the server closes before. */
  async untilReady(): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = [];
    for (;;) {
      const next = await this.next();
      if (next === undefined) {
        throw new Error(`closed after ${messages.map(({ type }) => type).join('')}`);
      }
      messages.push(next);
      if (next.type === 'Z') return messages;
    }
  }

  /** Everything up to the server's close. */
  async untilEnd(): Promise<BackendMessage[]> {
    await this.until(() => this.ended);
    return this.inbox.splice(0);
  }

  /** Sends and reads up to `count` ReadyForQuery; the types as a string, e.g. `12DCZ`. */
  async types(bytes: Uint8Array, count = 1): Promise<string> {
    this.send(bytes);
    let result = '';
    for (let left = count; left > 0; left--) {
      result += (await this.untilReady()).map(({ type }) => type).join('');
    }
    return result;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.watchers.push(resolve));
  }

  destroy(): void {
    this.socket.destroy();
  }

  private cut(): void {
    if (this.bare) return;
    let at = 0;
    while (this.held.length - at >= 5) {
      const length = this.held.readInt32BE(at + 1);
      if (this.held.length - at < length + 1) break;
      this.inbox.push({
        type: String.fromCharCode(this.held[at] as number),
        body: this.held.subarray(at + 5, at + length + 1),
      });
      at += length + 1;
    }
    this.held = this.held.subarray(at);
  }

  private wake(): void {
    for (const watcher of this.watchers.splice(0)) watcher();
  }
}
